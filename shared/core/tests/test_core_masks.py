"""Which pairs a tile leaves out, and rows scaled to unit norm, against their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.inputs import embeddings
from nearfar.masks import Diagonal, fill, fill_
from nearfar.pairs import Match, Pairs, other, unlisted
from nearfar.unit_norm import to_unit_norm


def codes(size):
    """Numbers of rows, of one view or of two, from any first one; or any labels."""
    return st.one_of(
        st.integers(-2, 3).map(lambda first: torch.arange(first, first + size)),
        st.integers(1, size).map(lambda half: torch.arange(size) % half),
        st.lists(st.integers(-2, 4), min_size=size, max_size=size).map(torch.tensor),
    )


@settings(max_examples=300)
@given(
    n=st.integers(1, 9), m=st.integers(1, 9), row_side=st.integers(1, 10),
    col_side=st.integers(1, 10), equal=st.lists(st.booleans(), max_size=2), listed=st.booleans(),
    data=st.data(),
)  # fmt: skip
def test_tiles_leave_out_what_the_rule_does(n, m, row_side, col_side, equal, listed, data):
    matches = [Match(data.draw(codes(n)), data.draw(codes(m)), e) for e in equal]
    want = torch.zeros(n, m, dtype=torch.bool)
    for match in matches:
        alike = match.rows[:, None] == match.cols
        want |= ~alike if match.equal else alike
    pairs = Pairs(tuple(matches))
    if listed:
        index = torch.tensor(data.draw(st.lists(st.integers(-1, m), min_size=n, max_size=n)))
        pairs = pairs & unlisted(index[:, None], m)
        want |= index[:, None] == torch.arange(m)
    tiles = pairs.tiles(row_side, col_side)
    have = torch.zeros(n, m, dtype=torch.bool)
    for i in range(0, n, row_side):
        for j in range(0, m, col_side):
            rows, cols = slice(i, min(i + row_side, n)), slice(j, min(j + col_side, m))
            mask = tiles.left_out(rows, cols)
            have[rows, cols] = fill(torch.zeros(len(have[rows]), cols.stop - j), mask, 1) > 0
    assert torch.equal(have, want)
    assert torch.equal(torch.as_tensor(pairs.mask()).expand(n, m), want)


def test_the_numbers_of_rows_need_no_matrix_of_booleans():
    row = torch.arange(9).repeat(2)
    tiles = other(row, row).tiles(4)
    assert tiles.left_out(slice(0, 4), slice(0, 4)) == Diagonal(0, (4, 4), row.device)
    assert tiles.left_out(slice(0, 4), slice(4, 8)) is False
    # The other view of row 4 is row 13, in the fourth block, whose first code is 3.
    assert tiles.left_out(slice(4, 8), slice(12, 16)) == Diagonal(1, (4, 4), row.device)
    assert isinstance(tiles.left_out(slice(0, 4), slice(8, 12)), torch.Tensor)  # 8, then 0, 1, 2


@pytest.mark.parametrize("mask", [Diagonal(7, (2, 3), torch.device("cpu")), False])
def test_what_leaves_nothing_out_changes_nothing(mask):
    ones = torch.ones(2, 3)
    assert fill_(ones.clone(), mask, 0).eq(1).all()
    assert fill(ones, mask, 0).eq(1).all()


def test_filling_leaves_the_original_as_it_was():
    ones = torch.ones(2, 3)
    for mask in (True, Diagonal(1, (2, 3), ones.device), torch.eye(2, 3) > 0):
        assert fill(ones, mask, 0).sum() < 6
        assert ones.eq(1).all()


@pytest.mark.parametrize("rows", [[[3.0, 4.0], [0.0, 0.0], [3e-13, 4e-13], [1e-30, 0.0]]])
def test_unit_rows_are_those_of_torch(rows):
    x = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    up = torch.tensor([1.0, -2.0], dtype=torch.float64)
    want, have = torch.nn.functional.normalize(x, dim=1), to_unit_norm(x)
    assert torch.allclose(want, have, rtol=1e-14, atol=0)
    (dw,) = torch.autograd.grad((want * up).sum(), x)
    (dh,) = torch.autograd.grad((have * up).sum(), x)
    assert torch.allclose(dw, dh, rtol=1e-12, atol=0)


def test_unit_rows_by_finite_differences():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(to_unit_norm, x.requires_grad_())


def test_rows_whose_sum_overflows_are_finite_all_the_same():
    large = torch.full((2, 3), 3e38)
    assert embeddings("rows", large, normalize=False) is large
    for bad in (torch.nan, torch.inf, -torch.inf):
        with pytest.raises(ValueError, match="has NaN or infinity in row 1"):
            embeddings("rows", torch.tensor([[1.0, 2], [bad, -bad]]), normalize=False)
