"""Bundles made or completed under limits, with a reason for each item."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from nearfar_bundle.builder import Builder
from nearfar_bundle.catalogue import incidence
from nearfar_bundle.evaluate import best_of
from nearfar_bundle.reasons import reasons
from nearfar_kit.errors import UserError

__all__ = ["Limits", "construct", "labels_of", "numbers_of"]

ROUNDING = 1e-9  # of a sum of prices, relative
POOL = 200  # best items among which limits and diversity choose
TOLD_LABELS = 8  # of an error, where none is near


@dataclass(frozen=True)
class Limits:
    """What a bundle may hold.

    A bundle is filled by score, the best item that fits first: a costly one may take a budget that
    two others would have shared.

    Attributes:
        exclude: items that never come; the catalogue need not have them.
        include: items that every bundle holds beside its own.
        budget: of the whole bundle's prices; items without a price do not fit one.
        each: at most so many items of a label, by label; ``*`` for any other.
        diversity: 0 to 1; how much an item's likeness to those chosen counts against it.
    """

    exclude: frozenset[str] = frozenset()
    include: tuple[str, ...] = ()
    budget: float | None = None
    each: Mapping[str, int] = field(default_factory=dict)
    diversity: float = 0.0

    def affords(self, cost: ArrayLike) -> NDArray[np.bool_]:
        """Whether so much is within the budget; NaN, an unknown price, is not."""
        if self.budget is None:
            return np.ones_like(cost, dtype=bool)
        return np.asarray(cost) <= self.budget * (1 + ROUNDING)

    def allows(self, labels: Sequence[str], held: Mapping[str, int]) -> bool:
        """Whether an item of those labels may be added to so many held of each label."""
        most = self.each.get("*", 2**31)
        return all(held.get(label, 0) < self.each.get(label, most) for label in labels)


def construct(
    builder: Builder, bundles: Mapping[str, Sequence[str]], k: int, limits: Limits | None = None
) -> pl.DataFrame:
    """Up to k items for each partial bundle.

    Args:
        bundles: by name, the items there are already, one or more.

    Returns:
        Columns bundle, rank, item, score, reason; the items asked for by ``include`` come first,
        without a score.

    Raises:
        UserError: an item is unknown; a bundle is empty, larger than ``longest``, or over the
            budget before anything is added; there are no prices for a budget or no labels for
            limits.
    """
    limits = limits or Limits()
    number = {str(name): n for n, name in enumerate(builder.items)}
    start: list[list[int]] = []
    for name, items in bundles.items():
        all_of = numbers_of(number, [*items, *limits.include], f"bundle {name}")
        own = list(dict.fromkeys(all_of))
        if len(own) > builder.settings.longest:
            raise UserError(
                f"bundle {name}: holds {len(own)} items; expected at most "
                f"{builder.settings.longest} (longest)"
            )
        start.append(own)
    if limits.budget is not None and builder.prices is None:
        raise UserError("budget: no item has a price; expected a column of prices")
    _check_labels(builder, limits.each)
    pairs = [(row, item) for row, own in enumerate(start) for item in own]
    shown = incidence(np.array(pairs, np.int64).reshape(-1, 2), len(start), builder.size)
    excluded = [number[item] for item in limits.exclude if item in number]
    left_out = shown
    if excluded:
        never = [(row, item) for row in range(len(start)) for item in excluded]
        left_out = incidence(np.array(pairs + never, np.int64), len(start), builder.size)
    pool = k if limits == Limits(exclude=limits.exclude, include=limits.include) else POOL
    best, scores = best_of(builder, shown, min(builder.size, max(pool, k)), left_out=left_out)
    chosen = []
    for row, name in enumerate(bundles):
        found = _chosen(builder, name, start[row], best[row], scores[row], k, limits)
        if len(found) < k and best[row, -1] >= 0:  # what fits may stand anywhere
            every = best_of(builder, shown[row], builder.size, left_out=left_out[row])
            found = _chosen(builder, name, start[row], every[0][0], every[1][0], k, limits)
        chosen.append(found)
    told = reasons(builder, shown, [[item for item, _ in found] for found in chosen])
    rows: list[tuple[str, int, str, float | None, str]] = []
    for row, name in enumerate(bundles):
        asked = [item for item in start[row] if str(builder.items[item]) in limits.include]
        rows += [(name, 0, str(builder.items[item]), None, "asked for") for item in asked]
        rows += [
            (name, rank, str(builder.items[item]), score, reason)
            for rank, ((item, score), reason) in enumerate(
                zip(chosen[row], told[row], strict=True), 1
            )
        ]
    schema = {"bundle": pl.String, "rank": pl.Int64, "item": pl.String, "score": pl.Float64,
              "reason": pl.String}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def numbers_of(number: Mapping[str, int], items: Iterable[str], where: str) -> list[int]:
    """Numbers of names; ``where`` they stand is for errors.

    Raises:
        UserError: one is unknown, or there is none.
    """
    found = []
    for item in items:
        if item not in number:
            raise UserError(
                f"{where}: item {item!r} is not in the catalogue of {len(number)} items"
            )
        found.append(number[item])
    if not found:
        raise UserError(f"{where}: is empty; expected one item or more")
    return found


def _check_labels(builder: Builder, each: Mapping[str, int]) -> None:
    """Refuses limits of labels that no item has."""
    if each and not builder.labels:
        raise UserError("each: no item has a label; expected a column of labels")
    known = {label for of in builder.labels.values() for own in of for label in own}
    for label in each:
        if label == "*" or label in known:
            continue
        by_lower = {own.lower(): own for own in sorted(known)}
        near = difflib.get_close_matches(label.lower(), by_lower, n=3, cutoff=0.5)
        told = ", ".join([by_lower[own] for own in near] or sorted(known)[:TOLD_LABELS])
        raise UserError(
            f"each: no item has the label {label!r}; "
            f"{'the nearest' if near else f'the first of {len(known)}'}: {told}"
        )


def _chosen(
    builder: Builder, name: str, start: list[int], pool: np.ndarray, scores: np.ndarray, k: int,
    limits: Limits,
) -> list[tuple[int, float]]:  # fmt: skip
    """The best items one after the other, those that limits forbid passed over."""
    paid = 0.0
    if limits.budget is not None and builder.prices is not None:
        paid = float(np.nansum(builder.prices[start]))
        if not limits.affords(paid):
            raise UserError(
                f"bundle {name}: costs {paid:g} already; expected at most the budget of "
                f"{limits.budget:g}"
            )
    labels = [labels_of(builder, item) if limits.each else [] for item in pool]
    counts = Counter(label for item in start for label in labels_of(builder, item))
    left = pool >= 0
    spread = float(np.ptp(scores[:POOL][left[:POOL]])) if left[:POOL].any() else 0.0
    against = np.zeros(len(pool))
    found: list[tuple[int, float]] = []
    while len(found) < k:
        if limits.budget is not None and builder.prices is not None:
            left &= limits.affords(paid + builder.prices[pool])
        if limits.each:
            left &= [limits.allows(own, counts) for own in labels]
        if not left.any():
            break
        place = int(np.where(left, scores - against, -np.inf).argmax())
        left[place] = False
        item = int(pool[place])
        if limits.budget is not None and builder.prices is not None:
            paid += float(builder.prices[item])
        counts.update(labels[place])
        found.append((item, float(scores[place])))
        if limits.diversity:
            alike = _likeness(builder, pool, item)
            against = np.maximum(against, limits.diversity * spread * alike)
    return found


def labels_of(builder: Builder, item: int) -> list[str]:
    """All labels of an item, of whatever name."""
    return [label for of in builder.labels.values() for label in of[item]]


def _likeness(builder: Builder, items: np.ndarray, chosen: int) -> np.ndarray:
    """[n], the mean cosine over the modalities of content; of company where there is none."""
    content = [b for b in builder.blocks if b.kind != "company"] or builder.blocks
    at = np.maximum(items, 0)
    alike: np.ndarray = sum((b.rows[at] @ b.rows[chosen].T).toarray()[:, 0] for b in content)
    return alike / len(content)
