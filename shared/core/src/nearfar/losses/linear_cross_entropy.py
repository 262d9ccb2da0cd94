"""Cross-entropy over a catalogue: the last linear layer and its softmax, logits never stored."""

from __future__ import annotations

from torch import Tensor

from nearfar.batch import Group, at_hand
from nearfar.dispatch import Path, contrast
from nearfar.distributed import global_batch
from nearfar.inputs import embeddings, labels_of, paired, scores_of
from nearfar.module import Loss
from nearfar.pairs import everything
from nearfar.reduction import Reduction, reduce

__all__ = ["LinearCrossEntropy", "linear_cross_entropy"]


@global_batch("hidden", "target")
def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    *,
    bias: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``cross_entropy(hidden @ weight.T + bias, target)`` without the [N, classes] logits.

    Equal to ``torch.nn.functional.cross_entropy`` with the same keywords; with labels smoothed the
    target of each row is ``1 - label_smoothing`` on its class plus ``label_smoothing / classes`` on
    all.

    Args:
        hidden: [N, D]. weight: [classes, D]. bias: [classes] or None.
        target: [N] integers, 0 to classes - 1, or ``ignore_index``: such rows have loss 0 and don't
            count in the mean, which is 0 where there are no others (torch's is NaN).
        label_smoothing: 0 to 1.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, a target is no class.

    Example:
        >>> import torch
        >>> target = torch.tensor([0, 2, -100])
        >>> hidden, weight = 50 * torch.eye(3), torch.eye(3)
        >>> linear_cross_entropy(hidden, weight, target)  # the second row is wrong, by 50
        tensor(25.)
    """
    x = embeddings("hidden", hidden, normalize=False)
    w = embeddings("weight", weight, normalize=False, like=x)
    classes = len(w)
    target = labels_of("target", target, x)
    if bias is not None and bias.shape != (classes,):
        raise ValueError(f"bias has shape {tuple(bias.shape)}; expected ({classes},)")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing}; expected 0 to 1")
    valid = target != ignore_index
    known = target[valid]
    if x.device.type == "cpu" and len(known):
        low, high = int(known.min()), int(known.max())
        if low < 0 or high >= classes:
            raise ValueError(f"target is {low} to {high}; expected 0 to {classes - 1}")
    rows = x[valid]
    b = None if bias is None else bias.to(x)
    one = rows.new_ones(())
    scores = scores_of(rows, w, one, normalized=False, bias=b)
    s = paired(rows, w[known], one)
    if b is not None:
        s = s + b[known]
    if label_smoothing > 0:
        # The mean of a row's logits is linear in them: no pass over the classes.
        mean = (rows * w.mean(0)).sum(1) + (0 if b is None else b.mean())
        s = (1 - label_smoothing) * s + label_smoothing * mean
    if len(known):
        with at_hand():
            losses = contrast(scores, everything(), s, base_inside=True, path=path)
    else:
        losses = s  # [0]
    if reduction == "none":
        return x.new_zeros(len(x)).index_put((valid,), losses)
    return reduce(losses, reduction)


class LinearCrossEntropy(Loss):
    """:func:`linear_cross_entropy` as a module: ``forward(hidden, weight, target, bias=None)``."""

    function = staticmethod(linear_cross_entropy)
    inputs = frozenset({"bias"})
