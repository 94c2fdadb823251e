"""Views that are asked for wrongly (LANGUAGE 5, 7)."""

from __future__ import annotations

import pytest

import graphc as gc

i = gc.index("i")
X, Y = gc.tensor("X", 3), gc.tensor("Y")
Y[i] = 2 * X[i]


@pytest.mark.parametrize("view", ["loops", "latex", "explain", "draw", "summary"])
def test_view_of_nothing(rejects, view):
    with rejects(gc.NotationError):
        getattr(gc, view)()


def test_view_of_an_empty_list(rejects):
    with rejects(gc.NotationError):
        gc.loops([])


def test_view_of_a_list_with_a_number(rejects):
    with rejects(gc.NotationError):
        gc.loops([Y, 2.0])
