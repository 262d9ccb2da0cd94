"""Where learning starts: the blend of evidence that finds most in the validation part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nearfar_bundle.baselines import GRID, Made
from nearfar_bundle.batches import queries_of
from nearfar_bundle.evaluate import evaluate
from nearfar_bundle.evidence import FIRST, Evidence, Items
from nearfar_bundle.split import Asked, Split

__all__ = ["start_from_validation"]

EXPONENTS = [(g, a) for g in (0.0, 0.3, 0.6) for a in (0.0, 0.15, 0.3)]  # by size, by degree
ALONE = (0.0, 0.1, 0.3, 1.0)
MOST = 384  # partial bundles that are looked at
ROUNDS = 1


@torch.no_grad()
def start_from_validation(evidence: Evidence, split: Split) -> None:
    """Sets the exponents of each modality of company by itself, then all weights, then both again.

    Learning can then leave the best blend of cosines only for what validates better.
    """
    rows = slice(0, MOST)
    asked = Asked(split.valid.bundles[rows], split.valid.shown[rows], split.valid.hidden[rows])
    warm = split.degrees > 0

    def value(scores: Tensor) -> float:
        found = evaluate(Made(scores.numpy()), asked, warm)
        return found["recall@20"] + found["ndcg@20"]

    queries = queries_of(asked.shown, evidence.blocks)
    items = Items(evidence.blocks, slice(0, len(split.catalogue)))
    evidence.weight.fill_(FIRST)

    def best_exponents(k: int, rest: Tensor | float, weight: float) -> Tensor:
        """Modality k's scores [Q, I] by the exponents that are worth most beside the rest."""
        best, kept, chosen = -1.0, torch.zeros(()), (0.0, 0.0)
        for pair in EXPONENTS if evidence.company[k] else [(0.0, 0.0)]:
            evidence.by_size[k], evidence.by_degree[k] = pair
            scores = evidence.part(k, queries[k], items)
            if (found := value(rest + weight * scores)) > best:
                best, kept, chosen = found, scores, pair
        evidence.by_size[k], evidence.by_degree[k] = chosen
        return kept

    parts = [best_exponents(k, 0.0, 1.0) for k in range(len(queries))]
    parts.append(FIRST * torch.log1p(evidence.degrees).expand(len(asked), -1))
    alone = [value(part) for part in parts]
    weights = np.eye(len(parts))[int(np.argmax(alone))].tolist()
    for _ in range(ROUNDS):
        _search(parts, weights, value)
        for k in range(len(queries)):
            if evidence.company[k] and weights[k]:
                parts[k] = best_exponents(k, _others(parts, weights, k), weights[k])
    _search(parts, weights, value)
    evidence.weight.copy_(FIRST * torch.tensor(weights[:-1]))
    evidence.popularity[0] = FIRST * weights[-1]


def _search(parts: list[Tensor], weights: list[float], value: Callable[[Tensor], float]) -> None:
    """Each weight in its turn becomes the one that is worth most; the last is popularity's."""
    best = value(_others(parts, weights, None))
    for n in range(len(parts)):
        rest = _others(parts, weights, n)
        for weight in ALONE if n == len(parts) - 1 else GRID:
            total = rest + weight * parts[n]
            if weight != weights[n] and torch.any(total) and (found := value(total)) > best:
                best, weights[n] = found, weight


def _others(parts: list[Tensor], weights: list[float], but: int | None) -> Tensor:
    """The weighted sum of all parts but one."""
    chosen = [w * p for n, (w, p) in enumerate(zip(weights, parts, strict=True)) if n != but and w]
    return sum(chosen, torch.zeros_like(parts[-1]))
