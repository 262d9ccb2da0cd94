"""NSPT: positives from the teacher, negatives from the student."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nearfar.batch import Group, codes_of, count_of, row_numbers
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings, labels_of, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other, same
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Statistic

__all__ = ["NSPT", "nspt"]


@global_batch("student", "teacher", "labels", "rehearsal")
def nspt(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    rehearsal: Tensor,
    *,
    design: Literal["nspt", "scl", "ntpt"] = "nspt",
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """Negative-student positive-teacher contrast, COCONUT (Cappellazzo et al. 2023, 2310.02699)::

        -1/|P(k)| sum_{p in P(k)} log( e^{s(k,p+)} / (sum_p e^{s(k,p+)} + sum_n e^{s(k,n-)}) )

    over the rehearsal rows k as anchors. P(k) are the rows of k's label, k among them, embedded by
    the teacher (p+); n are the other labels' rows, by the student (n-): the teacher never saw the
    new classes, so its embeddings of them are no use as negatives. ``scl`` takes both from the
    student (k itself then left out), ``ntpt`` both from the teacher. The teacher gets no gradient.

    Args:
        student, teacher: [N, D], the batch embedded by both; anchors are the student's.
        labels: [N] integers.
        rehearsal: [N] booleans, the rows that come from the rehearsal buffer.
        temperature: above 0; a number or a tensor [], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` (one number a rehearsal row).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0,
            ``rehearsal`` is not boolean.

    Example:
        >>> z = torch.eye(4)
        >>> nspt(z, z, torch.arange(4), torch.tensor([True, True, False, False])) < 1e-3
        tensor(True)
    """
    x = embeddings("student", student, normalize=normalize)
    y = beside("teacher", teacher, "student", x, normalize=normalize).detach()
    label = labels_of("labels", labels, x)
    if rehearsal.shape != (len(x),) or rehearsal.dtype is not torch.bool:
        raise ValueError(
            f"rehearsal is {rehearsal.dtype} of shape {tuple(rehearsal.shape)}; expected booleans "
            f"({len(x)},)"
        )
    if design not in ("nspt", "scl", "ntpt"):
        raise ValueError(f"design is {design!r}; expected 'nspt', 'scl' or 'ntpt'")
    rehearsal = rehearsal.to(x.device)
    own = row_numbers(x)
    if count_of(rehearsal) == 0:
        return reduce(x.new_zeros(0) if reduction == "none" else x.sum()[None] * 0, reduction)
    anchors, row = x[rehearsal], label[rehearsal]
    scale = 1 / positive("temperature", temperature, anchors)

    near = same(row, label)
    if design == "scl":
        near = near & other(own[rehearsal], own)
    positives = scores_of(anchors, x if design == "scl" else y, scale, normalized=normalize)
    negatives = scores_of(anchors, y if design == "ntpt" else x, scale, normalized=normalize)
    moment, p = row_statistics(
        positives, [Statistic("moment", near), Statistic("lse", near)], path=path
    )
    (r,) = row_statistics(negatives, [Statistic("lse", other(row, label))], path=path)
    code, size = codes_of(label)
    count = size[code][rehearsal] - int(design == "scl")  # |P(k)|
    some = count > 0
    p = torch.where(some, p, 0)
    losses = p + softplus(r - p) - moment / count.clamp(min=1)
    return reduce(losses, reduction, valid=some)


class NSPT(Loss):
    """:func:`nspt` as a module: ``forward(student, teacher, labels, rehearsal)``."""

    function = staticmethod(nspt)
