"""Timed choices: right whatever they are, worth it, in time, and remembered."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphc as gc
from graphc.kernels.choice import PACKED, Choice, Planned
from graphc.kernels.contraction import prepared
from graphc.runtime import cache, tuning
from graphc.runtime.tuning import BLOCKS, candidates, tuned, variants


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path))


def product(m: int, n: int, k: int, layout: str = "", groups: int = 1, dtype: str = "float32") -> Planned:
    """``C[g,m,n] += A[g,m,k]*B[g,k,n]``; `layout` says which of A and B is stored transposed."""
    a, b = (1, m) if "A" in layout else (k, 1), (1, k) if "B" in layout else (n, 1)
    g, i, j, r = (np.arange(extent) for extent in (groups, m, n, k))
    offsets = [g * m * n, g * m * k, g * k * n], [i * n, i * a[0]], [j, j * b[1]], [r * a[1], r * b[0]]
    return Planned.of(("A", "B"), dtype, [np.array(rows, np.int64) for rows in offsets])


@pytest.mark.parametrize("layout", ["", "A", "B", "AB"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_candidate_computes_the_same(layout: str, dtype: str) -> None:
    for m, n, k in [(1, 1, 1), (17, 15, 3), (65, 63, 450), (3, 200, 1000)]:
        planned = product(m, n, k, layout, 2, dtype)
        A, B = (np.random.default_rng(1).standard_normal((2, *shape)).astype(dtype) for shape in ((m, k), (k, n)))
        stored = [np.ascontiguousarray(X.swapaxes(1, 2)) if name in layout else X for name, X in (("A", A), ("B", B))]
        tried = candidates(planned)
        assert tried[0] == planned.choice and len(set(tried)) == len(tried)
        for choice in {*tried, *(each for one in tried for each in variants(one, k))}:
            C = np.full((2, m, n), np.nan, dtype)
            for me in range(2):
                prepared(me, 2, C, *stored, *planned.tables[:4])(choice.numbers(), False, 1.0)
            np.testing.assert_allclose(C, A.astype("f8") @ B, rtol=0, atol=(1e-5 if dtype == "float32" else 1e-13) * k**0.5)


def test_a_handful_of_candidates() -> None:
    for planned in product(512, 512, 512), product(64, 100, 1000, "B"), product(3, 3, 9000, "B"):
        assert 1 <= len(candidates(planned)) <= 8 and len(variants(planned.choice, planned.tables[3].shape[1])) <= 2 * len(BLOCKS)


class Clock:
    """A machine on which a run takes a known time and nothing else takes any."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Any) -> None:
        self.now, self.runs = 0.0, 0

        def run(choice: Choice) -> None:
            self.now += seconds(choice)
            self.runs += 1

        monkeypatch.setattr(tuning, "time", SimpleNamespace(thread_time=lambda: self.now, perf_counter=lambda: self.now))
        monkeypatch.setattr(tuning, "_runner", lambda planned, threads, seconds: run)


@pytest.mark.parametrize("other, wins", [(0.5, True), (0.96, True), (0.98, False), (2.0, False)])
def test_another_choice_wins_if_it_is_clearly_faster(other: float, wins: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, fast = product(300, 300, 300), Choice(PACKED, 192, 4)
    assert planned.choice != fast
    clock = Clock(monkeypatch, lambda choice: 1e-3 * (other if choice == fast else 1.0 if choice == planned.choice else 1.1))
    (chosen,) = tuned([planned], 1)
    assert chosen.timed and chosen.choice == (fast if wins else planned.choice)
    assert np.array_equal(chosen.tables[4], chosen.choice.numbers(chosen.tables[:4]))
    assert clock.runs < 150


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [product(200 + k, 300, 300) for k in range(8)]
    clock = Clock(monkeypatch, lambda choice: 0.03)
    tuned(many, 1)
    assert clock.now < 2
    Clock(monkeypatch, lambda choice: 10.0)
    (chosen,) = tuned([product(300, 300, 301)], 1)
    assert not chosen.timed, "no time for a second candidate"


def test_of_many_contractions_some_are_finished_in_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [product(200 + k, 300, 300) for k in range(60)]
    Clock(monkeypatch, lambda choice: 1e-3)
    for _ in range(60):
        timed = [planned.timed for planned in tuned(many, 1)]
        if all(timed):
            break
        assert timed == sorted(timed) and any(timed), "the largest, which are the last, come first"
    assert all(timed)


def test_the_share_that_is_timed_has_something_to_do() -> None:
    """Three rows of one panel among eight threads leave the first members without any."""
    planned = product(3, 64, 20_000, "B")
    arrays = np.zeros((3, 64), "f"), np.ones((3, 20_000), "f"), np.ones((64, 20_000), "f")
    for choice in candidates(planned):
        for team in (2, 8):
            C = arrays[0].copy()
            prepared(team - 1, team, C, *arrays[1:], *planned.tables[:4])(choice.numbers(), False, 1.0)
            assert C.any()


def test_a_cache_that_fails_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: str) -> None:
        raise PermissionError

    Clock(monkeypatch, lambda choice: 1e-4)
    monkeypatch.setattr(tuning, "remember", fails)
    monkeypatch.setattr(tuning, "remembered", fails)
    assert tuned([product(200, 200, 200)], 1)[0].timed


def test_what_is_small_keeps_its_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, lambda choice: 1e-3)
    (chosen,) = tuned([product(50, 50, 50)], 1)
    assert not chosen.timed and clock.runs == 0


def test_large_contractions_are_timed_in_part() -> None:
    for planned in product(4000, 3000, 5000), product(64, 64, 900_000), product(500, 500, 500, groups=64):
        part = tuning._part(planned.tables, tuning.MOST)
        assert tuning._work(part) <= tuning.MOST
        for cut, whole in zip(part[1:], planned.tables[1:4], strict=True):
            assert np.array_equal(cut, whole[:, : cut.shape[1]]) and cut.shape[1] >= min(whole.shape[1], 256)


def test_winners_are_remembered_by_all_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(planned: Planned, threads: int = 1) -> bool:
        clock = Clock(monkeypatch, lambda choice: 1e-4)
        assert tuned([planned, planned], threads)[1].timed
        return clock.runs > 0

    assert timed(product(200, 200, 200)) and not timed(product(200, 200, 200))
    assert timed(product(200, 200, 200), 2)
    assert timed(product(200, 200, 200, "B")) and timed(product(200, 200, 200, dtype="float64")) and timed(product(200, 200, 201))
    for note in cache.directory().glob("choice_*.json"):
        note.write_text('{"way": 9, "block": 0, "tiles": 1, "exchanged": false}')
    assert timed(product(200, 200, 200)), "a damaged file is as good as none"
    for note in cache.directory().glob("choice_*.json"):
        note.write_text('{"way": 1, "block": 1' + 23 * "0" + ', "tiles": 1, "exchanged": false}')
    assert timed(product(200, 200, 200))
    cache.clear()
    assert timed(product(200, 200, 200))


def test_a_program_says_what_was_timed() -> None:
    i, j, k = gc.indices("i j k")
    A, B, C = gc.tensor("A", gc.dim("M"), gc.dim("K")), gc.tensor("B", gc.dim("K"), gc.dim("N")), gc.tensor("C")
    C[i, j] += A[i, k] * B[k, j]
    x, y = (np.random.default_rng(0).standard_normal(shape).astype("float32") for shape in ((70, 300), (300, 130)))
    plain, program = gc.compile(C), gc.compile(C, tune=True)
    assert "estimated" not in str(program.kernels), "sizes are not known before the first call"
    np.testing.assert_allclose(program(A=x, B=y), plain(A=x, B=y), rtol=1e-4, atol=1e-4)
    assert "(estimated)" in str(plain.kernels) and "(timed)" in str(program.kernels)
    assert "(timed)" in program.profile(A=x, B=y)["contract"].plan
    program(A=x[:, :3], B=y[:3])
    assert "(estimated)" in str(program.kernels), "a small product is not timed"
