"""Cross-entropy over a catalogue too large to go through: a sample of classes stands for all."""

from __future__ import annotations

import math

from torch import Tensor

from nearfar.batch import Group, at_hand
from nearfar.dispatch import Path, contrast
from nearfar.distributed import global_batch
from nearfar.inputs import beside, embeddings, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other
from nearfar.reduction import Reduction, reduce

__all__ = ["SampledSoftmax", "sampled_softmax"]


@global_batch("hidden", "positives", "target")
def sampled_softmax(
    hidden: Tensor,
    positives: Tensor,
    sampled: Tensor,
    target: Tensor,
    classes: Tensor,
    *,
    log_q: Tensor | None = None,
    temperature: float | Tensor = 1.0,
    normalize: bool = False,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log( e^{s_t} / (e^{s_t} + sum over sampled j != t of e^{s_j} / (S q_j)) )``.

    Bengio, Senécal 2008 (adaptive importance sampling): S classes drawn with replacement, class j
    with probability ``q_j``, stand for all, and the correction by ``log_q`` makes their sum that
    over all other classes in expectation, so that the loss tends to the full cross-entropy as S
    grows. The positive, which is not sampled, is not corrected.

    Args:
        hidden: [N, D]. positives: [N, D], the weight of each row's class.
        sampled: [S, D], the weights of the classes drawn.
        target: [N] integers, each row's class. classes: [S] integers, those drawn, with repeats.
        log_q: [S], the log-probability that a draw is this class; None: equal weights, each
            sampled class standing for itself alone.
        temperature: above 0; a number, a tensor [] or [N], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> import torch
        >>> weight, drawn = torch.eye(3), torch.tensor([0, 2])
        >>> sampled_softmax(weight[:1], weight[:1], weight[drawn], torch.tensor([0]), drawn)
        tensor(0.3133)
    """
    x = embeddings("hidden", hidden, normalize=normalize)
    own = beside("positives", positives, "hidden", x, normalize=normalize)
    w = embeddings("sampled", sampled, normalize=normalize, like=x)
    for name, numbers, rows in (("target", target, x), ("classes", classes, w)):
        if numbers.shape != (len(rows),) or numbers.is_floating_point():
            raise ValueError(
                f"{name} is {numbers.dtype} of shape {tuple(numbers.shape)}; expected one integer "
                f"a row, shape ({len(rows)},)"
            )
    bias = None
    if log_q is not None:
        if log_q.shape != (len(w),):
            raise ValueError(f"log_q has shape {tuple(log_q.shape)}; expected ({len(w)},)")
        bias = -log_q.to(w) - math.log(len(w))
    scale = 1 / positive("temperature", temperature, x)
    scores = scores_of(x, w, scale, normalized=normalize, bias=bias)
    with at_hand():
        losses = contrast(
            scores, other(target, classes), paired(x, own, scale), base_inside=False, path=path
        )
    return reduce(losses, reduction)


class SampledSoftmax(Loss):
    """:func:`sampled_softmax` as a module: ``forward(hidden, positives, sampled, target, classes,
    log_q=None)``."""

    function = staticmethod(sampled_softmax)
    inputs = frozenset({"log_q"})
