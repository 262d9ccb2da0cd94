"""ProtoNCE and multi-label cluster discrimination: rows against cluster centres."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar import inputs
from nearfar.batch import Group, at_hand
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import labels_of, paired, positive, scores_of
from nearfar.module import Loss
from nearfar.pairs import everything, other
from nearfar.reduction import Reduction, reduce
from nearfar.softplus import softplus
from nearfar.statistic import Scores, Statistic

__all__ = ["MLCD", "ProtoNCE", "concentration", "mlcd", "proto_nce"]


@global_batch("embeddings", "assignment")
def proto_nce(
    embeddings: Tensor,
    prototypes: Tensor,
    assignment: Tensor,
    *,
    concentrations: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``-log softmax_c(<z_i, c> / phi_c)`` at row i's own centre.

    Prototypical contrastive learning, Li et al. 2021 (arXiv 2005.04966), its prototype term: a
    tight cluster has a small phi and so a sharper softmax.

    Args:
        embeddings: [N, D].
        prototypes: [K, D] centres.
        assignment: [N] integers, each row's centre.
        concentrations: [K], phi above 0, of :func:`concentration`; None: ``temperature`` for all.
        temperature: above 0; a number or a tensor [], used where there are no concentrations.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, a concentration or temperature
            <= 0, an assignment to no prototype.

    Example:
        >>> proto_nce(torch.eye(4), torch.eye(4), torch.arange(4)) < 1e-3
        tensor(True)
    """
    x = inputs.embeddings("embeddings", embeddings, normalize=normalize)
    c = inputs.embeddings("prototypes", prototypes, normalize=normalize, like=x)
    own = labels_of("assignment", assignment, x)
    if own.device.type == "cpu" and not 0 <= int(own.min()) <= int(own.max()) < len(c):
        raise ValueError(f"assignment is {own.min()} to {own.max()}; expected 0 to {len(c) - 1}")
    phi = temperature if concentrations is None else concentrations
    c = c / positive("temperature" if concentrations is None else "concentrations", phi, c).reshape(
        -1, 1
    )
    rest = Statistic("lse", other(own, torch.arange(len(c), device=x.device)))
    one = x.new_ones(())
    with at_hand():
        (r,) = row_statistics(Scores(x, c, one), [rest], path=path)
    return reduce(softplus(r - paired(x, c[own], one)), reduction)


def concentration(
    embeddings: Tensor,
    prototypes: Tensor,
    assignment: Tensor,
    *,
    temperature: float = 0.2,
    smoothing: float = 10.0,
) -> Tensor:
    """phi [K] of each cluster: its mean distance over ``log(size + smoothing)``, scaled to a mean
    of ``temperature``; clusters of one row or none take the largest, as in the authors' code.

    Args:
        embeddings: [N, D], unit rows. prototypes: [K, D]. assignment: [N].
    """
    distance = (embeddings - prototypes[assignment]).norm(dim=1)
    size = torch.bincount(assignment, minlength=len(prototypes))
    total = distance.new_zeros(len(prototypes)).index_add(0, assignment, distance)
    phi = total / size.clamp(min=1) / (size + smoothing).to(distance).log()
    small = size <= 1
    phi = torch.where(small, phi.max(), phi)
    low, high = phi.quantile(0.1), phi.quantile(0.9)
    phi = phi.clamp(low, high)
    return temperature * phi / phi.mean()


@global_batch("embeddings", "positives")
def mlcd(
    embeddings: Tensor,
    prototypes: Tensor,
    positives: Tensor,
    *,
    negatives: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    normalize: bool = True,
    reduction: Reduction = "mean",
    path: Path | None = None,
    group: Group = None,
) -> Tensor:
    """``log(1 + sum_p e^{-s_ip}) + log(1 + sum_n e^{s_in})``: several centres are right at once.

    Multi-label cluster discrimination, An et al. 2024 (arXiv 2407.17331), equation 5. The negatives
    are all centres that are not a row's own, or those of a sample.

    Args:
        embeddings: [N, D].
        prototypes: [K, D] centres.
        positives: [N, l] integers, each row's l nearest centres, without repeats.
        negatives: [R] integers, the sampled centres, without repeats; None: all.
        temperature: above 0; a number or a tensor [], which may require grad.
        normalize: scale all rows to unit norm first.
        reduction: ``mean``, ``sum`` or ``none`` ([N]).

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> z = torch.eye(4)
        >>> mlcd(z, 2 * z - 1, torch.arange(4)[:, None], normalize=False) < 1e-3
        tensor(True)
    """
    x = inputs.embeddings("embeddings", embeddings, normalize=normalize)
    c = inputs.embeddings("prototypes", prototypes, normalize=normalize, like=x)
    if positives.ndim != 2 or len(positives) != len(x) or positives.is_floating_point():
        raise ValueError(
            f"positives is {positives.dtype} of shape {tuple(positives.shape)}; expected integers "
            f"[{len(x)}, l]"
        )
    scale = 1 / positive("temperature", temperature, x)
    near = (x[:, None] * c[positives]).sum(2) * scale.reshape(-1, 1)  # N x l
    ids = torch.arange(len(c), device=x.device) if negatives is None else negatives.to(x.device)
    scores = scores_of(x, c[ids], scale, normalized=normalize)
    rule = everything()
    for column in positives.to(x.device).unbind(1):
        rule = rule & other(column, ids)
    with at_hand():
        (r,) = row_statistics(scores, [Statistic("lse", rule)], path=path)
    # log(1 + sum e^u) = softplus(log sum e^u), and a row without negatives has -inf: 0.
    return reduce(softplus((-near).logsumexp(1)) + softplus(r), reduction)


class ProtoNCE(Loss):
    """:func:`proto_nce` as a module: ``forward(embeddings, prototypes, assignment)``."""

    function = staticmethod(proto_nce)
    inputs = frozenset({"concentrations"})


class MLCD(Loss):
    """:func:`mlcd` as a module: ``forward(embeddings, prototypes, positives)``."""

    function = staticmethod(mlcd)
    inputs = frozenset({"negatives"})
