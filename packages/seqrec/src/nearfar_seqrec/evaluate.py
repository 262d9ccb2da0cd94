"""Evaluation by full ranking: every item of the catalogue competes with the one asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nearfar_kit.metrics import Record
from nearfar_seqrec.ranking import ranks_and_best
from nearfar_seqrec.scoring import Scorer
from nearfar_seqrec.sequences import Ints
from nearfar_seqrec.split import Split

__all__ = ["CUTS", "evaluate", "measures", "records_of"]

CUTS = (5, 10, 20)
LISTED = 10  # items of a list, for coverage and popularity


def evaluate(
    scorer: Scorer, split: Split, asked: Ints, *, longest: int, mask_seen: bool = False
) -> dict[str, float]:
    """The measures of a scorer on ``split.valid`` or ``split.test``.

    Args:
        longest: items of a history that the scorer is shown.
        mask_seen: whether items of the whole history are passed over; the paper's protocol lets
            them compete, since users come back to items.

    Returns:
        ``hit@k`` and ``ndcg@k`` at 5, 10 and 20, ``mrr``, ``coverage@10``, ``popularity@10``.
    """
    histories = split.histories(asked, longest)
    seen = split.histories(asked, int(asked[:, 1].max())) if mask_seen else None
    targets = split.targets(asked)
    ranks, best, _ = ranks_and_best(scorer, histories, targets, LISTED, seen=seen)
    return measures(ranks) | {
        f"coverage@{LISTED}": coverage(best, scorer.items),
        f"popularity@{LISTED}": popularity(best, targets, split.train_counts()),
    }


def measures(ranks: Ints, cuts: Sequence[int] = CUTS) -> dict[str, float]:
    """Hit rate, NDCG and mean reciprocal rank, of the one item asked for each time.

    Args:
        ranks: [n], from 1.

    Example:
        >>> measures(np.array([1, 3, 40]), cuts=(5,))["ndcg@5"]
        0.5
    """
    found: dict[str, float] = {}
    for k in cuts:
        found[f"hit@{k}"] = float((ranks <= k).mean())
        found[f"ndcg@{k}"] = float(np.where(ranks <= k, 1 / np.log2(ranks + 1), 0).mean())
    return found | {"mrr": float((1 / ranks).mean())}


def coverage(best: Ints, items: int) -> float:
    """The share of the catalogue that is on anybody's list [n, k]."""
    return len(np.unique(best[best > 0])) / items


def popularity(best: Ints, targets: Ints, counts: Ints) -> float:
    """How often listed items were trained on, over how often those asked for were.

    1 is no bias; above it, lists lean to what is popular.
    """
    listed = counts[best[best > 0]].mean()
    asked = counts[targets].mean()
    return float(listed / asked) if asked else float("nan")


def records_of(
    found: dict[str, float], *, dataset: str, split: str, method: str, seed: int, n: int
) -> list[Record]:
    """Measures as ``metrics.json`` keeps them."""
    return [Record(dataset, split, method, seed, name, value, n) for name, value in found.items()]
