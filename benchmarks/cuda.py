"""graphc's CUDA kernels on the GPU of this machine: whether they are right, then how fast, beside PyTorch eager and compiled.

    python benchmarks/cuda.py --json out.json          everything, in at most ten minutes
    python benchmarks/cuda.py --only softmax,l1        some rows
    python benchmarks/cuda.py --dry                    tiny sizes in Numba's simulator, without a GPU and without PyTorch

It needs Python with numba, numba-cuda and graphc's dependencies, the source of graphc, and PyTorch for the comparison. First what the
marker `gpu` of the tests covers is run: programs of every kind against the interpreter and, where pytest is installed, these tests.
Then the speed of copying and of PyTorch's products is measured, which are the limits of each row; then the rows, in float32 without
TF32. Times are of events on the stream, the median of several turns. Then rows with products come again with tensor cores
on both sides (precision="tf32"). What is not done when the time is over stays open, too, and the JSON file has everything that was
measured before.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
if __name__ == "cuda":  # found instead of NVIDIA's packages below this name, because the folder of a script is searched first: be them
    __path__ = [str(Path(p) / "cuda") for p in sys.path if (Path(p) / "cuda").is_dir()]

TURNS, SECONDS = 7, 0.05
CHECKED = ("tests/emit/test_cuda.py", "tests/calls/test_on_device.py")


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="tiny sizes in the simulator: nothing is measured")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="names of rows, separated by commas")
    parser.add_argument("--minutes", type=float, default=9.5, help="after which no other measurement begins")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(words)


class Bench:
    """What was found so far.

    Args:
        options: of the command line.
        torch: PyTorch with a GPU, or None.
    """

    def __init__(self, options: argparse.Namespace, torch: Any) -> None:
        from graphc.runtime.machine import machine

        self.options, self.torch, self.machine = options, torch, machine()
        self.end = time.monotonic() + 60 * options.minutes
        self.found: dict[str, Any] = {"machine": self.described(), "limits": {}, "checks": {}, "rows": []}

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def described(self) -> dict[str, Any]:
        versions = {name: importlib.metadata.version(name) for name in ("numba", "numba-cuda", "torch") if installed(name)}
        device = self.machine.cuda.current_context().device
        name = getattr(device, "name", b"simulator")
        return {"gpu": name.decode() if isinstance(name, bytes) else str(name), "cc": list(device.compute_capability),
                "python": platform.python_version(), "versions": versions, "dry": self.options.dry}

    def write(self) -> None:
        """The JSON file, after every measurement."""
        if self.options.json is not None:
            self.options.json.write_text(json.dumps(self.found, indent=1), encoding="utf-8")

    # ---------------------------------------------------------------------------------------------------------------- time
    def milliseconds(self, call: Callable[[], Any]) -> float:
        """The median over some turns; in each, calls are queued for a while between two events."""
        for _ in range(1 if self.options.dry else 3):
            call()  # compiled, recorded and warm
        if self.options.dry:
            return self.timed(call, 1)
        once = self.timed(call, 1)
        count = max(1, min(1000, int(1000 * SECONDS / max(once, 1e-3))))
        return statistics.median(self.timed(call, count) for _ in range(TURNS))

    def timed(self, call: Callable[[], Any], count: int) -> float:
        if self.options.dry:
            begin = time.perf_counter()
            call()
            return 1000 * (time.perf_counter() - begin)
        make = self.torch.cuda.Event if self.torch else self.machine.cuda.event
        key = "enable_timing" if self.torch else "timing"
        first, last = make(**{key: True}), make(**{key: True})
        first.record()
        for _ in range(count):
            call()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) / count

    # -------------------------------------------------------------------------------------------------------------- limits
    def limits(self) -> None:
        """Bytes and operations per second: a copy of 1 GiB, PyTorch's product of 4096³ without and with TF32."""
        count = 1 << (10 if self.options.dry else 28)
        if self.torch:
            source, target = (self.torch.zeros(count, device="cuda") for _ in range(2))
            copying = self.milliseconds(lambda: target.copy_(source))
        else:
            source, target = (self.machine.cuda.device_array(count, "float32") for _ in range(2))
            copying = self.milliseconds(lambda: target.copy_to_device(source))
        limits = self.found["limits"] = {"bytes": 8 * count / copying * 1000}
        if self.torch:
            a, b = (self.torch.randn(4096, 4096, device="cuda") for _ in range(2))
            for name, allowed in (("tf32", True), ("float32", False)):
                self.torch.backends.cuda.matmul.allow_tf32 = allowed
                limits[name] = 2 * 4096**3 / self.milliseconds(lambda: a @ b) * 1000
        self.write()

    # -------------------------------------------------------------------------------------------------------------- checks
    def checks(self) -> None:
        """Programs of every kind against the interpreter; the tests with the marker `gpu` if there is pytest."""
        from tests.cuda_programs import ERRORS, PROGRAMS

        names = ["total", "logsumexp"] if self.options.dry else list(PROGRAMS)
        errors = self.processed([sys.executable, "-m", "tests.cuda_programs", *names], 0.3)
        found = json.loads(errors.splitlines()[-1]) if errors.startswith("{") or "\n{" in errors else {}
        wrong = {n: found.get(n, "did not run") for n in names if not isinstance(found.get(n), float) or found[n] > 1e-5}
        self.found["checks"] = {"programs": len(names), "errors": len(ERRORS), "wrong": wrong, "output": "" if found else errors[-3000:]}
        if installed("pytest") and not self.options.dry:
            self.found["checks"]["pytest"] = self.processed([sys.executable, "-m", "pytest", "-q", "-m", "gpu", *CHECKED], 0.3)[-3000:]
        self.write()

    def processed(self, command: list[str], share: float) -> str:
        """What a process prints that may take a share of the time left."""
        path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            done = subprocess.run(command, cwd=HERE.parent, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
                                  timeout=max(1, share * self.left), check=False)
        except subprocess.TimeoutExpired:
            return "took too long"
        return done.stdout + done.stderr

    # ---------------------------------------------------------------------------------------------------------------- rows
    def row(self, case: Any) -> dict[str, Any]:
        """graphc and eager PyTorch: whether they agree, and how long they take."""
        import numpy as np
        from comparison import gpu_calls

        sizes = case.dry if self.options.dry else case.sizes
        arrays = case.arrays(np.random.default_rng(0), sizes)
        row: dict[str, Any] = {"name": case.name, "title": case.title.format(*sizes), "goal": case.goal, "tf32": "open"}
        begin = time.monotonic()
        ours = gpu_calls.graphc(case, arrays, self.torch, self.machine)
        peer = gpu_calls.eager(case, arrays, self.torch) if self.torch else gpu_calls.on_cpu_alone(case, arrays, self.options.dry)
        row["error"] = gpu_calls.error(ours.results(), peer.results())
        row["first call"] = time.monotonic() - begin
        row["launches"] = ours.program.report().launching
        row["graphc"] = self.milliseconds(ours.call)
        if self.torch:
            row["eager"] = self.milliseconds(peer.call)
        limits = self.found["limits"]
        needed = {"bytes": case.bytes(sizes), "float32": case.operations(sizes)}
        row["limit"] = max((1000 * amount / limits[name] for name, amount in needed.items() if name in limits), default=0.0)
        return row

    def rows(self) -> None:
        from comparison.on_gpu import CASES

        wanted = [c for c in CASES if (not self.options.only or c.name in self.options.only) and not (self.options.dry and c.dry is None)]
        for case in wanted:
            try:
                row = self.row(case) if self.left > 0 else {"name": case.name, "title": case.title, "failure": "no time was left"}
            except Exception as failure:  # the other rows are worth having
                row = {"name": case.name, "title": case.title, "failure": f"{type(failure).__name__}: {failure}"}
            self.found["rows"].append(row)
            self.write()
            print(line(row), flush=True)
        for case, row in zip(wanted, self.found["rows"], strict=True):
            if self.torch and self.left > 45 and "failure" not in row:
                self.on_cores(case, row)
                self.compiled(case, row)
                print(line(row), flush=True)

    def on_cores(self, case: Any, row: dict[str, Any]) -> None:
        """Both with tensor cores, if the program has products for them."""
        import numpy as np
        from comparison import gpu_calls

        try:
            arrays = case.arrays(np.random.default_rng(0), case.sizes)
            ours = gpu_calls.graphc(case, arrays, self.torch, self.machine, "tf32")
            if not any("TF32" in kernel.plan.strategy for kernel in ours.program.kernels):
                row["tf32"] = "no product"
                return
            self.torch.backends.cuda.matmul.allow_tf32 = self.torch.backends.cudnn.allow_tf32 = True
            peer = gpu_calls.eager(case, arrays, self.torch)
            row["tf32 error"] = gpu_calls.error(ours.results(), peer.results())
            row["tf32 graphc"], row["tf32 eager"] = self.milliseconds(ours.call), self.milliseconds(peer.call)
            row["tf32"] = f"{row['tf32 graphc']:.4f} ms, {row['tf32 graphc'] / row['tf32 eager']:.2f} of eager"
        except Exception as failure:
            row["tf32"] = f"{type(failure).__name__}: {failure}"[:500]
        finally:
            self.torch.backends.cuda.matmul.allow_tf32 = self.torch.backends.cudnn.allow_tf32 = False
            self.write()

    def compiled(self, case: Any, row: dict[str, Any]) -> None:
        """torch.compile, which takes long, comes last."""
        import numpy as np
        from comparison import gpu_calls

        try:
            arrays = case.arrays(np.random.default_rng(0), case.sizes)
            row["compiled"] = self.milliseconds(gpu_calls.eager(case, arrays, self.torch, self.torch.compile).call)
        except Exception as failure:
            row["compiled failure"] = f"{type(failure).__name__}: {failure}"[:500]
        self.write()


def installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def line(row: dict[str, Any]) -> str:
    """A row for people."""
    if "failure" in row:
        return f"{row['name']:<14} {row['failure'].splitlines()[0][:110]}"
    peers = ("graphc", "eager", "compiled")
    times = "  ".join(f"{peer} {row[peer]:9.4f} ms" if peer in row else f"{peer} {'open':>9}   " for peer in peers)
    ratio = f"{row['graphc'] / row['eager']:.2f}" if "eager" in row else "open"
    goal = "" if row["goal"] is None else f" (goal {row['goal']:.2f})"
    share = f"{row['limit'] / row['graphc']:.0%}" if row["limit"] and row["graphc"] else "open"
    rest = f"of eager {ratio:>5}{goal:<12}  of the limit {share:>5}  TF32 {row['tf32']}  error {row['error']:.1e}"
    return f"{row['name']:<14} {times}  {rest}"


def with_gpu() -> Any:
    """PyTorch, if it is there and finds a GPU."""
    if importlib.util.find_spec("torch") is None:
        return None
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return None
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return torch


def main(words: list[str] | None = None) -> int:
    options = arguments(words)
    if options.dry:
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
    sys.path.insert(1, str(HERE.parent))
    bench = Bench(options, None if options.dry else with_gpu())
    print(f"{bench.found['machine']}", flush=True)
    bench.limits()
    print("  ".join(f"{name} {value:.3g}/s" for name, value in bench.found["limits"].items()), flush=True)
    if not options.only:
        bench.checks()
        print(json.dumps(bench.found["checks"], indent=1), flush=True)
    bench.rows()
    bad = [row["name"] for row in bench.found["rows"] if "failure" in row or row["error"] > 1e-3]
    print(f"wrong or failed: {', '.join(bad) or 'nothing'}")
    return bool(bad or bench.found["checks"].get("wrong"))


if __name__ == "__main__":
    sys.exit(main())
