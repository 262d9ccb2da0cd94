"""SimLAP: what two classes share, by a gate on the columns that both classes' names open."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize as to_unit_norm

from nearfar import inputs
from nearfar.batch import Group, count_of, row_numbers, total_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import labels_of, one_positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import other, same
from nearfar.statistic import Scores, Statistic

__all__ = ["ConditionalGate", "SimLAP", "sim_lap"]


@global_batch("embeddings", "labels")
def sim_lap(
    embeddings: Tensor,
    labels: Tensor,
    class_pairs: Tensor,
    gates: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """Mean over class pairs (u, v) of ``log(1 + sum over n e^{s_in} / e^{s_ip})``, i of u, p of v.

    The conditional contrast of Hydra. Rows are multiplied by the pair's gate and normalised; the
    negatives n are the rows of neither class. The mean over anchors i and positives p is within
    each pair; a pair of which there are no anchors, positives or negatives does not count.

    Args:
        embeddings: [N, D].
        labels: [N] integers.
        class_pairs: [P, 2] labels.
        gates: [P, D], at least 0; see :class:`ConditionalGate`.
        temperature: above 0; a number or a tensor [] that may require grad.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> z, y = torch.eye(3)[[0, 0, 1]], torch.tensor([0, 1, 2])
        >>> sim_lap(z, y, torch.tensor([[0, 1]]), torch.ones(1, 3)) < 1e-3
        tensor(True)
    """
    x = inputs.embeddings("embeddings", embeddings, normalize=False)
    y = labels_of("labels", labels, x)
    if class_pairs.ndim != 2 or class_pairs.shape[1] != 2 or class_pairs.is_floating_point():
        raise ValueError(
            f"class_pairs is {class_pairs.dtype} of shape {tuple(class_pairs.shape)}; expected "
            "labels [P, 2]"
        )
    if gates.shape != (len(class_pairs), x.shape[1]):
        raise ValueError(
            f"gates has shape {tuple(gates.shape)}; expected ({len(class_pairs)}, {x.shape[1]})"
        )
    scale = 1 / one_positive("temperature", temperature, x)
    own = row_numbers(x)
    losses = []
    for (first, second), gate in zip(class_pairs.tolist(), gates.to(x), strict=True):
        of_first, of_second = y == first, y == second
        outside = (~of_first & ~of_second).long()
        anchors = count_of(of_first)
        count = anchors * count_of(of_second) - (anchors if first == second else 0)
        if count == 0 or count_of(outside) == 0:
            continue
        z = to_unit_norm(x * gate, dim=1)
        a = z[of_first]
        ones = torch.ones_like(y[of_first])
        negatives = Statistic("lse", same(ones, outside))
        (r,) = row_statistics(scores_of(a, z, scale, normalized=True), [negatives], path=path)
        # One more column takes r off each score: softplus(r_i - s_ip) is a sum over pairs then.
        left = torch.cat([a * scale, -r[:, None]], 1)
        right = torch.cat([z, torch.ones_like(z[:, :1])], 1)
        positives = same(ones * second, y) & other(own[of_first], own)
        (total,) = row_statistics(
            Scores(left, right, torch.ones_like(scale)), [Statistic("softminus", positives)],
            path=path,
        )  # fmt: skip
        losses.append(total_of(total.sum()) / count)
    if not losses:
        return x.sum() * 0
    return torch.stack(losses).mean()


class ConditionalGate(nn.Module):
    """``sigmoid(MLP((e_u + e_v) / 2))`` of two classes: which columns are compared for this pair.

    Args:
        classes: how many. width: columns of the rows to be gated.
        label_width: of the classes' learned vectors e.

    Example:
        >>> gate = ConditionalGate(classes=5, width=16, label_width=8)
        >>> gate(torch.tensor([[0, 3], [1, 2]])).shape
        torch.Size([2, 16])
    """

    def __init__(self, classes: int, width: int, *, label_width: int = 512) -> None:
        super().__init__()
        self.labels = nn.Embedding(classes, label_width)
        self.layers = nn.Sequential(
            nn.Linear(label_width, label_width), nn.ReLU(), nn.Linear(label_width, width)
        )

    def forward(self, class_pairs: Tensor) -> Tensor:
        """Labels [P, 2] -> gates [P, width], 0 to 1; the same for (u, v) and (v, u)."""
        gates: Tensor = self.layers(self.labels(class_pairs).mean(1)).sigmoid()
        return gates


class SimLAP(Loss):
    """:func:`sim_lap` as a module: ``forward(embeddings, labels, class_pairs, gates)``."""

    function = staticmethod(sim_lap)
