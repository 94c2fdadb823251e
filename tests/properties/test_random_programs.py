"""Random programs against the interpreter and the complex step (`tests.oracles` says what is compared).

``GRAPHC_PROGRAMS`` and ``GRAPHC_CPU_PROGRAMS`` set how many programs are drawn, ``GRAPHC_SEED`` the first one.
``python -m tests.soak`` runs many more, with every check on every program.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import graphc as gc
from tests import oracles
from tests.programs import generate

PROGRAMS = int(os.environ.get("GRAPHC_PROGRAMS", "300"))
CPU_PROGRAMS = int(os.environ.get("GRAPHC_CPU_PROGRAMS", "40"))
SEED = int(os.environ.get("GRAPHC_SEED", "0"))
BATCH = 10
CPU_BATCH = 8

ROOT = Path(__file__).parents[2]


def batches(count: int, size: int) -> list[range]:
    return [range(first, min(first + size, SEED + count)) for first in range(SEED, SEED + count, size)]


TURNS = {
    "second order": (8, 0),
    "passes": (5, 1),
    "jvp": (10, 3),
    "hvp": (16, 5),
    "jacobian": (60, 7),
    "hessian": (80, 9),
    "vmap": (40, 11),
    "custom_grad": (100, 38),
}


def kinds(seed: int) -> list[str]:
    """The cheap checks always, the expensive ones in turn."""
    return ["values", "gradient", *(kind for kind, (every, first) in TURNS.items() if seed % every == first)]


def run(case: oracles.Case, kind: str) -> None:
    if kind == "passes":
        oracles.check_passes(case, oracles.OPTIONAL[case.program.seed // 5 % len(oracles.OPTIONAL) :][:1])
    else:
        oracles.CHECKS[kind](case)


@pytest.mark.parametrize("seeds", batches(PROGRAMS, BATCH), ids=lambda r: f"{r.start}-{r.stop - 1}")
def test_interpreter_and_complex_step(seeds: range) -> None:
    outcome: Counter[str] = Counter()
    for seed in seeds:
        program = generate(seed)
        try:
            case = oracles.prepare(program)
            for kind in kinds(seed):
                run(case.again(), kind)
            outcome["ok"] += 1
        except (oracles.Refused, oracles.Unsuitable):
            outcome["skipped"] += 1
        except Exception as error:
            raise AssertionError(f"{error}\n\n{program}\n\npython -m tests.soak --programs 1 --seed {seed} shrinks it.") from error
    assert outcome["ok"] > 0.7 * len(seeds), "the generator makes too many programs that are refused"


def test_a_seed_gives_one_program() -> None:
    assert str(generate(7)) == str(generate(7)) != str(generate(8))


def test_the_printed_program_is_the_program() -> None:
    program = generate(11)
    names: dict[str, object] = {}
    exec(str(program), names)
    assert gc.loops(names["L"]) == gc.loops(program.build()["L"])
    arrays = dict(names["arrays"].items())  # type: ignore[attr-defined]
    assert all(np.array_equal(a, program.arrays[n]) and a.dtype == program.arrays[n].dtype for n, a in arrays.items())


# ------------------------------------------------------------------------------------------------------------- target "cpu"

cpu = pytest.mark.skipif(importlib.util.find_spec("graphc.runtime.cpu") is None, reason="this version has no target cpu")


@cpu
@pytest.mark.parametrize("seeds", batches(CPU_PROGRAMS, CPU_BATCH), ids=lambda r: f"{r.start}-{r.stop - 1}")
def test_cpu(seeds: range) -> None:
    """Several programs and some of their gradients as the outputs of one compilation, in float32."""
    wrong = oracles.check_together([generate(seed, statements=2 if seed % 4 == 0 else 1) for seed in seeds])
    assert wrong is None, f"{wrong[1]}\n\n{wrong[0]}"


# -------------------------------------------------------------------------------------------------------------- determinism

DETERMINISM = """
import graphc as gc
from tests.oracles import prepare
from tests.programs import generate
for seed in range({first}, {first} + 12):
    case = prepare(generate(seed))
    print(gc.loops(case.names["L"], *case.made))
    print(gc.compile([case.names["L"], *case.made], target={target!r}).source)
"""


def printed(hash_seed: str, target: str) -> str:
    text = DETERMINISM.format(first=SEED, target=target)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text], env=environment, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_text_does_not_depend_on_the_hash_seed() -> None:
    target = "cpu" if importlib.util.find_spec("graphc.runtime.cpu") else "interpret"
    texts = [printed(seed, target) for seed in ("0", "1", "4711")]
    assert texts[0]
    assert texts[0] == texts[1] == texts[2]
