"""Why an item was chosen: what of the learnt evidence speaks most for it, and the nearest given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix

from nearfar_bundle.batches import queries_of
from nearfar_bundle.builder import Builder
from nearfar_bundle.evidence import Evidence, Items
from nearfar_bundle.features import Block
from nearfar_bundle.ridge import holders_of, ridge_scores

__all__ = ["reasons"]

BATCH = 256  # partial bundles at a time
WORDS = 3
UNDER = " > "  # between a label and the one under it
HOLDERS = {"bundles": ("bundle", "bundles"), "feedback": ("user", "users")}
VECTORS = "its vector fits the bundle's"


def reasons(
    builder: Builder, shown: csr_matrix, chosen: Sequence[Sequence[int]]
) -> list[list[str]]:
    """For each item chosen for partial bundles [Q, I], what most of its score comes from.

    Words and labels are those that the item shares with what is shown, the weightiest first; the
    nearest is the item shown that is most alike in the modality told of.
    """
    evidence = builder.model.evidence
    if evidence is None:
        return [[VECTORS] * len(items) for items in chosen]
    found = []
    held = holders_of(builder.blocks) if evidence.ridge[0] > 0 else None
    for first in range(0, len(chosen), BATCH):
        rows = slice(first, first + BATCH)
        freed = _freed(builder, evidence, shown[rows], chosen[rows])
        for n, items in enumerate(chosen[rows]):
            found.append(_of_bundle(builder, evidence, shown[first + n], items, freed[n], held))
    return found


@torch.no_grad()
def _freed(
    builder: Builder, evidence: Evidence, shown: csr_matrix, chosen: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """For each bundle [n], what ridge regression on company adds to its items' scores."""
    weight, penalty = evidence.ridge.tolist()
    if weight <= 0:
        return [np.zeros(len(items)) for items in chosen]
    numbers = np.array(sorted({item for items in chosen for item in items}), np.int64)
    scores = weight * ridge_scores(builder.blocks, shown, penalty)(numbers).numpy()
    return [own[np.searchsorted(numbers, items)] for own, items in zip(scores, chosen, strict=True)]


@torch.no_grad()
def _of_bundle(
    builder: Builder, evidence: Evidence, shown: csr_matrix, items: Sequence[int],
    freed: np.ndarray, held: csr_matrix | None,
) -> list[str]:  # fmt: skip
    if not items:
        return []
    queries = queries_of(shown, builder.blocks)
    own = Items(builder.blocks, torch.tensor(items))
    parts = torch.stack([evidence.part(k, q, own)[0] for k, q in enumerate(queries)]).numpy()
    alone = evidence.alone(evidence.degrees[own.numbers]).numpy()
    found = []
    for place, item in enumerate(items):
        k = int(parts[:, place].argmax())
        if held is not None and freed[place] > max(0.0, parts[k, place]):
            both = held[shown.indices].multiply(held[item])
            count = len(np.unique(both.tocsr().indices))
            near = np.asarray(both.sum(1)).ravel()
            found.append(_by_company("company", count, _nearest(builder, shown, near)))
        elif parts[k, place] > 0:
            weight = evidence.column_weights(k).numpy()
            found.append(_by_modality(builder, builder.blocks[k], weight, shown, item))
        elif builder.model.items is not None:
            found.append(VECTORS)
        else:
            found.append(_by_itself(int(evidence.degrees[item]), float(alone[place])))
    return found


def _by_modality(
    builder: Builder, block: Block, weight: np.ndarray, shown: csr_matrix, item: int
) -> str:
    # Products of sparse rows: zero wherever only one of both has something.
    both = block.rows[shown.indices].multiply(block.rows[item]).tocsr()
    both = both.multiply(weight).tocsr()
    both.eliminate_zeros()
    like = _nearest(builder, shown, np.asarray(both.sum(1)).ravel())
    columns, counts = np.unique(both.indices, return_inverse=True)
    if block.kind == "company":
        return _by_company(block.name, len(columns), like)
    if not block.columns:
        return f"{block.name}: vectors alike; nearest {like}"
    order = np.argsort(-np.bincount(counts, both.data), kind="stable")
    names = [block.columns[columns[n]] for n in order]
    told = _deepest(names) if block.kind == "labels" else _whole(names)
    return f"{block.name}: shares {', '.join(told[:WORDS])}; nearest {like}"


def _deepest(labels: Sequence[str]) -> list[str]:
    """Labels without those that another one stands under."""
    return [x for x in labels if not any(other.startswith(f"{x}{UNDER}") for other in labels)]


def _whole(words: Sequence[str]) -> list[str]:
    """Words and pairs of words without what another one has; the first ones stay.

    Lone letters and digits at their ends are left out: most are pieces, as the 0 of "3.0 inch".
    """
    kept: list[list[str]] = []
    for word in words:
        parts = word.split()
        while parts and len(parts[0]) == 1:
            parts = parts[1:]
        while parts and len(parts[-1]) == 1:
            parts = parts[:-1]
        if not parts or any(_within(parts, other) for other in kept):
            continue
        at = [n for n, other in enumerate(kept) if _within(other, parts)]
        if at:
            kept[at[0]] = parts
            kept = [own for n, own in enumerate(kept) if n not in at[1:]]
        elif len(kept) < WORDS:
            kept.append(parts)
    return [" ".join(parts) for parts in kept] or list(words)


def _within(part: list[str], whole: list[str]) -> bool:
    """Whether words stand in others, one after the other."""
    return any(whole[n : n + len(part)] == part for n in range(len(whole) - len(part) + 1))


def _nearest(builder: Builder, shown: csr_matrix, alike: np.ndarray) -> str:
    return str(builder.items[shown.indices[int(alike.argmax())]])


def _by_company(name: str, count: int, like: str) -> str:
    if not count:
        return f"{name}: held beside items that go with what is given"
    one, more = HOLDERS.get(name, ("bundle or user", "bundles or users"))
    holders = f"1 {one} has" if count == 1 else f"{count} {more} have"
    return f"{name}: {holders} it and some of what is given; nearest {like}"


def _by_itself(degree: int, alone: float) -> str:
    """Where nothing ties an item to what is shown."""
    if alone <= 0:
        return "nothing given speaks for it; it is what is left"
    return f"nothing given speaks for it, only that {degree or 'no'} training bundles hold it"
