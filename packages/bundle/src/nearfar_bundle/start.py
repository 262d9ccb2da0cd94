"""Where learning starts: the blend of evidence that finds most in the validation part."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from nearfar_bundle.baselines import GRID, Made
from nearfar_bundle.batches import queries_of
from nearfar_bundle.evaluate import evaluate
from nearfar_bundle.evidence import FIRST, Evidence, Items
from nearfar_bundle.split import Split

__all__ = ["start_from_validation"]

BY_SIZE = (0.0, 0.5)
BY_DEGREE = (0.0, 0.2, 0.4)
ALONE = (0.0, 0.1, 0.3, 1.0)
MOST = 256  # partial bundles that are looked at
ROUNDS = 2


@torch.no_grad()
def start_from_validation(evidence: Evidence, split: Split) -> None:
    """Sets exponents of each modality of company by itself, then all weights, one after the other.

    Learning can then leave the best blend of cosines only for what validates better.
    """
    asked, warm = split.valid.first(MOST), split.degrees > 0

    def value(scores: Tensor) -> float:
        found = evaluate(Made(scores.numpy()), asked, warm)
        return found["recall@20"] + found["ndcg@20"]

    queries = queries_of(asked.shown, evidence.blocks)
    items = Items(evidence.blocks, slice(0, len(split.catalogue)))
    evidence.weight.fill_(FIRST)
    parts = []
    for k, query in enumerate(queries):
        best, kept = -1.0, torch.zeros(())
        exponents = (
            [(g, a) for g in BY_SIZE for a in BY_DEGREE] if evidence.company[k] else [(0.0, 0.0)]
        )
        chosen = exponents[0]
        for pair in exponents:
            evidence.by_size[k], evidence.by_degree[k] = pair
            scores = evidence.part(k, query, items)
            if (found := value(scores)) > best:
                best, kept, chosen = found, scores, pair
        evidence.by_size[k], evidence.by_degree[k] = chosen
        parts.append(kept)
    log_degrees = torch.log1p(evidence.degrees).expand(len(asked), -1)
    parts.append(FIRST * log_degrees)
    weights = _search([*parts], value)
    evidence.weight.copy_(FIRST * torch.tensor(weights[:-1]))
    evidence.popularity[0] = FIRST * weights[-1]


def _search(parts: list[Tensor], value: object) -> list[float]:
    """The weights of parts [Q, I] that are worth most: the best alone, then one by one."""
    assert callable(value)
    alone = [value(part) for part in parts]
    weights = np.eye(len(parts))[int(np.argmax(alone))].tolist()
    best = max(alone)
    for _ in range(ROUNDS):
        for n in range(len(parts)):
            rest = sum(w * p for m, (w, p) in enumerate(zip(weights, parts, strict=True)) if m != n)
            grid = ALONE if n == len(parts) - 1 else GRID
            for weight in grid:
                total = rest + weight * parts[n]
                if weight != weights[n] and torch.any(total) and (found := value(total)) > best:
                    best, weights[n] = found, weight
    return [float(weight) for weight in weights]
