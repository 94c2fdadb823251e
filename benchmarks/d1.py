"""The neural net in twenty lines: NumPy's listing and the compiled step side by side.

    python benchmarks/d1.py [repetitions]

Both train the same net (64×1000 → 100 sigmoid → 10, squared error, gradient descent) on the same numbers. The repetitions alternate,
and the fastest median of each side counts, so that a busy moment of the machine harms neither.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def example() -> ModuleType:
    path = Path(__file__).parents[1] / "examples" / "31_twenty_lines.py"
    spec = importlib.util.spec_from_file_location("twenty_lines", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    script = example()
    print(f"{'dtype':8} {'NumPy, µs':>10} {'compiled, µs':>13} {'ratio':>6}")
    for dtype in ("float32", "float64"):
        program = script.compiled(dtype)
        script.run(script.steps(program, script.data(dtype)))
        times = [(script.run(script.listing(**script.data(dtype)))[1], script.run(script.steps(program, script.data(dtype)))[1])
                 for _ in range(repetitions)]
        numpy_time, graphc_time = (min(column) for column in zip(*times, strict=True))
        print(f"{dtype:8} {numpy_time:10.0f} {graphc_time:13.0f} {numpy_time / graphc_time:6.2f}")


if __name__ == "__main__":
    main()
