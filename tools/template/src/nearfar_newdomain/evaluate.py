"""How well labels are told by the nearest measurement of another thing."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.nearest import nearest
from nearfar.pairs import other
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Record
from nearfar_newdomain.measured import Measured

__all__ = ["accuracy", "scores"]


def accuracy(rows: Tensor, data: Measured) -> float:
    """Share of labelled rows [N, D] whose nearest labelled row of another thing has their label."""
    known = torch.from_numpy(data.label >= 0)
    label, thing = torch.from_numpy(data.label)[known], torch.from_numpy(data.thing)[known]
    if len(set(label.tolist())) < 2:
        raise UserError("label: fewer than two labels are there; expected two or more to test on")
    rows = normalize(rows[known], dim=1)
    index, _ = nearest(rows, rows, 1, pairs=other(thing, thing))
    return float((label[index[:, 0]] == label).float().mean())


def scores(rows: Tensor, data: Measured, dataset: str, method: str, seed: int) -> list[Record]:
    n = int((data.label >= 0).sum())
    return [Record(dataset, "test", method, seed, "accuracy", accuracy(rows, data), n)]
