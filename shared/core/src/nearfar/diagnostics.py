"""What a batch of embeddings tells of training: is it learning, collapsing, or at chance?"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from nearfar.dispatch import row_statistics
from nearfar.functional import alignment, uniformity
from nearfar.inputs import embeddings, paired, positive, scores_of
from nearfar.nearest import nearest
from nearfar.pairs import other, same
from nearfar.statistic import Statistic

__all__ = ["Diagnosis", "diagnose", "effective_rank", "tolerance", "warn_at_chance"]


@dataclass(frozen=True)
class Diagnosis:
    """Means over a batch of pairs; see :func:`diagnose`."""

    loss: float
    chance: float
    alignment: float
    uniformity: float
    entropy: float
    effective_negatives: float
    positive_share: float
    accuracy: float
    effective_rank: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


@torch.no_grad()
def diagnose(
    queries: Tensor, keys: Tensor, *, temperature: float = 0.07, normalize: bool = True
) -> Diagnosis:
    """How InfoNCE stands on queries and keys [N, D], row i of both being one sample.

    - ``loss``, and ``chance``, the loss log N of embeddings that tell nothing;
    - ``alignment`` and ``uniformity`` (Wang and Isola 2020): small is good for both;
    - ``entropy`` of a row's softmax over the negatives, in nats, and ``effective_negatives``, its
      exponential: by how many negatives a query is really pushed (Wang and Liu 2021 call what a
      negative gets the relative penalty, its softmax weight);
    - ``positive_share`` of the gradient: one minus the positive's probability, near 0 where the
      batch is solved and no longer teaches;
    - ``accuracy``: queries whose own key is the nearest;
    - ``effective_rank`` of the queries, at most D; near 1 is collapse.

    Raises:
        ValueError: shapes disagree, fewer than two rows, not finite.

    Example:
        >>> d = diagnose(torch.eye(4), torch.eye(4))
        >>> d.accuracy, round(d.chance, 3), round(d.effective_negatives, 3)
        (1.0, 1.386, 3.0)
    """
    q = embeddings("queries", queries, normalize=normalize)
    k = embeddings("keys", keys, normalize=normalize, like=q)
    if len(q) != len(k) or len(q) < 2:
        raise ValueError(f"queries and keys have {len(q)} and {len(k)} rows; expected as many of "
                         "both, two or more")  # fmt: skip
    scale = 1 / positive("temperature", temperature, q)
    own = torch.arange(len(q), device=q.device)
    rest = other(own, own)
    r, mean = row_statistics(
        scores_of(q, k, scale, normalized=normalize),
        [Statistic("lse", rest), Statistic("mean", rest)],
    )
    s = paired(q, k, scale)
    a = torch.logaddexp(r, s)
    best, _ = nearest(q, k, 1)
    entropy = r - mean  # of p = e^(s - r): -sum p (s - r)
    return Diagnosis(
        loss=float((a - s).mean()),
        chance=math.log(len(q)),
        alignment=float(alignment(q, k, normalize=False)),
        uniformity=float(uniformity(q, normalize=False)),
        entropy=float(entropy.mean()),
        effective_negatives=float(entropy.exp().mean()),
        positive_share=float((1 - (s - a).exp()).mean()),
        accuracy=float((best[:, 0] == own).double().mean()),
        effective_rank=effective_rank(q),
    )


@torch.no_grad()
def effective_rank(rows: Tensor) -> float:
    """The exponential of the entropy of the singular values' shares, Roy and Vetterli 2007.

    Example:
        >>> round(effective_rank(torch.eye(4)), 3)
        4.0
    """
    values = torch.linalg.svdvals(rows.double())
    shares = values / values.sum().clamp(min=1e-300)
    return float(torch.special.entr(shares).sum().exp())


@torch.no_grad()
def tolerance(rows: Tensor, labels: Tensor) -> float:
    """The mean cosine of rows with the same label, themselves among them, Wang and Liu 2021.

    Example:
        >>> tolerance(torch.eye(2), torch.tensor([0, 0]))
        0.5
    """
    x = embeddings("rows", rows, normalize=True)
    rule = same(labels, labels)
    one = x.new_ones(())
    scores = scores_of(x, x, one, normalized=True)
    (total,) = row_statistics(scores, [Statistic("moment", rule)])
    size = torch.bincount(torch.unique(labels, return_inverse=True)[1])
    return float(total.sum() / (size * size).sum())


def warn_at_chance(loss: float, candidates: int, *, within: float = 0.01) -> bool:
    """Warns, and tells, where a loss over so many candidates is no better than guessing.

    Call it after some hundred steps: a loss that stays at log(candidates) means that nothing is
    learnt; a wrong sign, collapsed embeddings or too high a temperature are the usual causes.
    """
    chance = math.log(candidates)
    stuck = loss > (1 - within) * chance
    if stuck:
        warnings.warn(
            f"the loss is {loss:.4g}, chance over {candidates} candidates is {chance:.4g}: "
            "nothing is learnt yet (wrong pairs, a collapse, or too high a temperature?)",
            stacklevel=2,
        )
    return stuck
