"""Binary cross-entropy over a catalogue: every class is a yes-or-no question of its own."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import embedding_bag

from nearfar.batch import Group, at_hand
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import embeddings, scores_of
from nearfar.module import Loss
from nearfar.pairs import everything
from nearfar.reduction import Reduction, reduce
from nearfar.statistic import Statistic

__all__ = ["LinearBinaryCrossEntropy", "linear_binary_cross_entropy"]


@global_batch("hidden", "positives")
def linear_binary_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    positives: Tensor,
    *,
    bias: Tensor | None = None,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``sum_j softplus(s_ij) - sum over positives j of s_ij``, ``s = hidden @ weight.T + bias``.

    Each row's is the sum over classes of ``torch.nn.functional.binary_cross_entropy_with_logits(s,
    y)``, y being 1 at the row's positives, without the [N, classes] logits.

    Args:
        hidden: [N, D]. weight: [classes, D]. bias: [classes] or None.
        positives: [N, k] integers, the classes that each row has, each once, and -1 where it has
            fewer than k.
        reduction: ``mean``, ``sum`` or ``none`` ([N]), over rows.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, a positive is no class.

    Example:
        >>> import torch
        >>> some = torch.tensor([[0, 1], [2, -1]])
        >>> linear_binary_cross_entropy(torch.zeros(2, 3), torch.eye(3), some)  # 3 log 2
        tensor(2.0794)
    """
    x = embeddings("hidden", hidden, normalize=False)
    w = embeddings("weight", weight, normalize=False, like=x)
    if positives.ndim != 2 or len(positives) != len(x) or positives.is_floating_point():
        raise ValueError(
            f"positives is {positives.dtype} of shape {tuple(positives.shape)}; expected integers "
            f"[{len(x)}, k]"
        )
    if bias is not None and bias.shape != (len(w),):
        raise ValueError(f"bias has shape {tuple(bias.shape)}; expected ({len(w)},)")
    if x.device.type == "cpu" and positives.numel():
        low, high = int(positives.min()), int(positives.max())
        if low < -1 or high >= len(w):
            raise ValueError(
                f"positives is {low} to {high}; expected -1, for none, to {len(w) - 1}"
            )
    b = None if bias is None else bias.to(x)
    scores = scores_of(x, w, x.new_ones(()), normalized=False, bias=b)
    there = positives >= 0
    index, own = positives.clamp(min=0), there.to(x)
    yes = (x * embedding_bag(index, w, per_sample_weights=own, mode="sum")).sum(1)
    if b is not None:
        yes = yes + (b[index] * own).sum(1)
    with at_hand():
        (all_no,) = row_statistics(scores, [Statistic("softplus", everything())], path=path)
    return reduce(all_no - yes, reduction)


class LinearBinaryCrossEntropy(Loss):
    """:func:`linear_binary_cross_entropy` as a module: ``forward(hidden, weight, positives,
    bias=None)``."""

    function = staticmethod(linear_binary_cross_entropy)
    inputs = frozenset({"bias"})
