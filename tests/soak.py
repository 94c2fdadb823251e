"""Many random programs: ``python -m tests.soak --programs 2000 --seed 1``; failures are printed as programs that reproduce them."""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from collections import Counter

from tqdm import tqdm

from tests.checks import CHECKS, QUICK, Refused, Unsuitable, check
from tests.programs import RandomProgram, generate

__all__ = ["main", "verdict"]


def verdict(program: RandomProgram, kinds: tuple[str, ...]) -> tuple[str, str]:
    """ "ok", "refused", "unsuitable" or the name of what went wrong, with the details."""
    try:
        check(program, kinds)
    except Refused as error:
        return "refused", str(error)
    except Unsuitable as error:
        return "unsuitable", str(error)
    except RecursionError:
        return "RecursionError", ""
    except Exception as error:
        return type(error).__name__, "".join(traceback.format_exception(error)[-4:])
    return "ok", ""


def _fails_alike(kind: str, checks: tuple[str, ...]) -> object:
    return lambda program: verdict(program, checks)[0] == kind


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checks", nargs="+", default=list(QUICK), choices=list(CHECKS), help="which oracles")
    parser.add_argument("--statements", type=int, help="definitions per program")
    parser.add_argument("--show", type=int, default=5, help="how many failures are shrunk and printed")
    parser.add_argument("--refusals", action="store_true", help="print why programs are refused")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    checks = tuple(options.checks)
    counts: Counter[str] = Counter()
    failed: list[int] = []
    for seed in tqdm(range(options.seed, options.seed + options.programs), unit="program", disable=not sys.stderr.isatty()):
        program = generate(seed, options.statements)
        kind, details = verdict(program, checks)
        counts[kind] += 1
        if kind == "refused" and options.refusals:
            tqdm.write(f"seed {seed}: {details}")
        if kind in ("ok", "refused", "unsuitable"):
            continue
        failed.append(seed)
        if len(failed) <= options.show:
            small = program.shrunk(_fails_alike(kind, checks))  # type: ignore[arg-type]
            tqdm.write(f"{'=' * 100}\n{small}\n{'-' * 100}\n{kind}\n{verdict(small, checks)[1]}")
    print(", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    if failed:
        print(f"failing seeds: {failed}")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
