"""The objective of SepCLR: a sum of alignments, uniformities and one joint entropy.

Louiset et al., ICLR 2024 (arXiv 2402.11928). Heads of a batch: common c, used at unit norm, and
salient s, used as it is. The salient head of a background image is to be the constant s' = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.batch import Group
from nearfar.functional import alignment, joint_entropy, uniformity

__all__ = ["Views", "Weights", "separate", "separate_attributes"]

Views = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Weights:
    """One a term; a term's uniformity is weighed against its own alignment.

    With separate encoders ``common`` against ``joint`` says how much the common one gives way, and
    ``salient`` and ``infoless`` against ``joint`` how much the salient one does.
    """

    common: float = 1.0
    common_uniformity: float = 2.0
    salient: float = 1000.0
    salient_uniformity: float = 2.0
    infoless: float = 1000.0
    joint: float = 10.0

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """[]: the weighted sum of the terms that :func:`separate` names."""
        return (
            self.common
            * (terms["common_alignment"] + self.common_uniformity * terms["common_uniformity"])
            + self.salient
            * (terms["salient_alignment"] + self.salient_uniformity * terms["salient_uniformity"])
            + self.infoless * terms["infoless"]
            + self.joint * terms["joint"]
        )


def separate(
    common: Views,
    salient: Views,
    is_target: Tensor,
    *,
    weights: Weights | None = None,
    temperature: float = 0.5,
    repel_constant: bool = True,
    group: Group = None,
) -> dict[str, Tensor]:
    """The terms of SepCLR by name, each unweighted [], and their weighted sum ``total``.

    With t = 1 / (2 temperature), means over views where a term has no pair of them, and s_bar the
    salient rows with those of background replaced by 0:

    - ``common_alignment``, ``common_uniformity``: of all images, on the unit sphere;
    - ``salient_alignment``: of targets; ``salient_uniformity``: of s_bar, so targets repel each
      other and 0; both are 0 with fewer than two targets;
    - ``infoless``: ``mean t |s|^2`` of background, 0 where there is none;
    - ``joint``: minus the kernel estimate of the joint entropy of c and s_bar.

    Args:
        common, salient: two views each, [N, D] and [N, E]; row i of all four is the same image.
        is_target: [N] bool.
        weights: None: those of the paper's toy sets.
        repel_constant: False leaves background rows, and so 0, out of ``salient_uniformity``.
        group: the processes whose batches make one; each has as many of either kind, as from
            :class:`nearfar.samplers.ClassBalancedBatches`.

    Raises:
        ValueError: shapes disagree, an input is empty or not finite, temperature <= 0.

    Example:
        >>> c, s, is_target = torch.eye(4), torch.eye(4), torch.tensor([False, False, True, True])
        >>> terms = separate((c, c), (s, s), is_target, weights=Weights(salient=1, infoless=1))
        >>> [round(float(terms[name]), 3) for name in ("common_uniformity", "infoless")]
        [-2.0, 1.0]
    """
    _check(common, salient, is_target, temperature)
    terms = _common_terms(common, temperature, group)
    terms |= _salient_terms(salient, is_target, temperature, repel_constant, group)
    terms["infoless"] = _mean([_to_zero(s, is_target, temperature, group) for s in salient])
    terms["joint"] = _joint(common, salient, is_target, temperature, group)
    terms["total"] = (weights or Weights()).total(terms)
    return terms


def separate_attributes(
    common: Views,
    salient: Views,
    is_target: Tensor,
    attributes: Tensor,
    *,
    discrete: Sequence[bool] | None = None,
    weights: Weights | None = None,
    temperature: float = 0.5,
    bandwidth: float = 0.025,
    background_temperature: float = 0.025,
    group: Group = None,
) -> dict[str, Tensor]:
    """SepCLR with known attributes of targets: salient number k is to tell attribute k.

    For each k targets that agree are drawn together and background is drawn to 0,
    ``salient_alignment = (mean_{i<j} w_ij (s_ik - s_jk)^2 + mean s_k^2 / 2 background_temperature)
    / 2`` with ``w_ij = e^{-(y_ik - y_jk)^2 / 2 bandwidth}``, or 1 where equal if discrete; and
    ``salient_uniformity`` is that of column k alone. Both are means over k and views. ``infoless``
    is part of the first here and given for the log only: its weight is not used.

    Args:
        common, salient, is_target: as in :func:`separate`; salient is [N, K].
        attributes: [N, K], on a scale on which ``bandwidth`` makes sense, 0 to 1 say; rows of
            background are not read.
        discrete: [K]; None: none is.
        weights: None: those of the paper, 1 for the common uniformity, 100 for salient terms.

    Raises:
        ValueError: as :func:`separate`; attributes is not [N, K], a target's is not finite.
    """
    _check(common, salient, is_target, temperature)
    if attributes.shape != salient[0].shape:
        raise ValueError(
            f"attributes has shape {tuple(attributes.shape)}; expected one number for each of "
            f"salient, {tuple(salient[0].shape)}"
        )
    y = attributes[is_target]
    if not torch.isfinite(y).all():
        raise ValueError("attributes has NaN or infinity in a target's row")
    weights = weights or Weights(common_uniformity=1.0, salient=100.0, salient_uniformity=1.0)
    terms = _common_terms(common, temperature, group)
    kinds = list(discrete or [False] * y.shape[1])
    drawn, spread, rest = [], [], []
    for s in salient:
        for k, is_discrete in enumerate(kinds):
            column = s[:, k : k + 1]
            together = _agreement(column[is_target], y[:, k], is_discrete, bandwidth)
            rest.append(_to_zero(column, is_target, background_temperature, group))
            drawn.append((together + rest[-1]) / 2)
            spread.append(_spread(_with_constant(column, is_target), is_target, temperature, group))
    terms["salient_alignment"] = _mean(drawn)
    terms["salient_uniformity"] = _mean(spread)
    terms["infoless"] = _mean(rest)
    terms["joint"] = _joint(common, salient, is_target, temperature, group)
    terms["total"] = weights.total(terms | {"infoless": terms["infoless"] * 0})
    return terms


def _common_terms(common: Views, temperature: float, group: Group) -> dict[str, Tensor]:
    a, b = common
    t = 1 / (2 * temperature)
    spread = [a.new_zeros(())]
    if len(a) > 1:
        spread = [uniformity(c, t=t, group=group) for c in common]
    return {
        "common_alignment": alignment(a, b, group=group) * t,
        "common_uniformity": _mean(spread),
    }


def _salient_terms(
    salient: Views, is_target: Tensor, temperature: float, repel_constant: bool, group: Group
) -> dict[str, Tensor]:
    a, b = (s[is_target] for s in salient)
    aligned = a.new_zeros(())
    if len(a) > 1:
        aligned = alignment(a, b, normalize=False, group=group) / (2 * temperature)
    rows = [_with_constant(s, is_target) if repel_constant else s[is_target] for s in salient]
    return {
        "salient_alignment": aligned,
        "salient_uniformity": _mean([_spread(s, is_target, temperature, group) for s in rows]),
    }


def _with_constant(salient: Tensor, is_target: Tensor) -> Tensor:
    """s_bar [N, E]: rows of background are s' = 0, out of reach of the gradient."""
    return salient.where(is_target[:, None], 0.0)


def _spread(rows: Tensor, is_target: Tensor, temperature: float, group: Group) -> Tensor:
    if int(is_target.sum()) < 2:
        return rows.new_zeros(())
    return uniformity(rows, t=1 / (2 * temperature), normalize=False, group=group)


def _to_zero(salient: Tensor, is_target: Tensor, temperature: float, group: Group) -> Tensor:
    """``mean |s|^2 / 2 temperature`` of background; 0 where there is none."""
    rest = salient[~is_target]
    if not len(rest):
        return salient.new_zeros(())
    zero = torch.zeros_like(rest)
    return alignment(rest, zero, normalize=False, group=group) / (2 * temperature)


def _joint(
    common: Views, salient: Views, is_target: Tensor, temperature: float, group: Group
) -> Tensor:
    return _mean(
        [
            joint_entropy(
                c, _with_constant(s, is_target),
                temperature=temperature, normalize=(True, False), group=group,
            )
            for c, s in zip(common, salient, strict=True)
        ]
    )  # fmt: skip


def _agreement(column: Tensor, attribute: Tensor, discrete: bool, bandwidth: float) -> Tensor:
    """``mean_{i<j} w_ij (s_i - s_j)^2`` of targets [n, 1]; 0 for fewer than two.

    Of this process's targets alone: unlike the other terms it has no pairs across processes.
    """
    if len(column) < 2:
        return column.new_zeros(())
    i, j = torch.triu_indices(len(column), len(column), 1, device=column.device)
    apart = (attribute[i] - attribute[j]).square()
    w = (apart == 0).to(column) if discrete else torch.exp(-apart / (2 * bandwidth)).to(column)
    square = alignment(column[i], column[j], normalize=False, reduction="none")
    return (w * square).mean()


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()


def _check(common: Views, salient: Views, is_target: Tensor, temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected above 0")
    rows = len(common[0])
    if is_target.dtype != torch.bool or is_target.shape != (rows,):
        raise ValueError(
            f"is_target is {is_target.dtype} of shape {tuple(is_target.shape)}; expected bool "
            f"[{rows}], one a row"
        )
    for name, views in (("common", common), ("salient", salient)):
        if any(len(v) != rows for v in views):
            raise ValueError(f"{name} has {[len(v) for v in views]} rows; expected {rows} in each")
