"""Malformed specifications of `gc.from_einsum`."""

from __future__ import annotations

import graphc as gc

N, D = gc.dims("N D")
X, W = gc.tensor("X", N, D), gc.tensor("W", D, 3)


def test_einsum_without_a_text(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum(X, W)


def test_einsum_with_a_digit(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("i1,1j->ij")


def test_einsum_with_two_arrows(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("ij->ji->ij")


def test_einsum_with_two_dots(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("..i->..", X)


def test_einsum_with_a_comma_in_the_result(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("ij,jk->i,k", X, W)


def test_einsum_with_an_unknown_letter_in_the_result(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("ij,jk->im", X, W)


def test_einsum_with_a_letter_twice_in_the_result(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("ij,jk->ii", X, W)


def test_einsum_with_too_few_operands(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("ij,jk,kl->il", X, W)


def test_einsum_of_an_element(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("i->i", X[gc.index("i"), 0])


def test_einsum_of_a_tensor_without_a_shape(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("ij,jk->ik", X, gc.tensor("Y"))


def test_einsum_with_too_many_letters(rejects):
    with rejects(gc.ShapeError):
        gc.from_einsum("ijk,jl->il", X, W)


def test_einsum_with_too_few_letters(rejects):
    with rejects(gc.ShapeError):
        gc.from_einsum("i,jl->il", X, W)


def test_einsum_with_too_many_letters_beside_an_ellipsis(rejects):
    with rejects(gc.ShapeError):
        gc.from_einsum("...ijk->...", X)


def test_einsum_with_two_extents_for_a_letter(rejects):
    with rejects(gc.ShapeError):
        gc.from_einsum("ij,ik->jk", X, W)


def test_einsum_with_an_ellipsis_of_two_extents(rejects):
    with rejects(gc.ShapeError):
        gc.from_einsum("...j,...k->...", X, W)


def test_einsum_of_a_diagonal_that_is_none(rejects):
    with rejects(gc.ShapeError):
        gc.from_einsum("ii", W)


def test_einsum_with_an_ellipsis_and_no_operands(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("...i,i->...")


def test_einsum_that_loses_its_ellipsis(rejects):
    with rejects(gc.NotationError):
        gc.from_einsum("...i->i", X)


def test_einsum_diagonal_of_one_row(rejects):
    with rejects(gc.ShapeError):
        gc.from_einsum("ii", gc.tensor("Z", 1, 3))
