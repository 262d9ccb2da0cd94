"""What is set last, by the validation part: company, and cold items against warm ones.

Steps by gradient can set neither. A training bundle is itself among the bundles that a ridge
regression has seen; company that is of little use learns to speak against items; and what finds
most over all items may leave the few warm ones, or the few cold ones, unfound.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar_bundle.baselines import Made
from nearfar_bundle.builder import Builder
from nearfar_bundle.evaluate import CHOSEN_BY, evaluate
from nearfar_bundle.evidence import FIRST
from nearfar_bundle.ridge import ridge_scores
from nearfar_bundle.split import Asked, Split
from nearfar_bundle.start import MOST

__all__ = ["OFFSETS", "finish", "worth"]

KINDS = ("", "warm ", "cold ")
PENALTIES = (10.0, 30.0, 100.0)
WEIGHTS = (0.3, 1.0, 3.0, 10.0)
# Where hardly any item has company in common with a cart, the twentieth best has next to none, and
# a unit of it would be boundless.
STEEPEST = 100.0
OFFSETS = (-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)


def worth(scores: NDArray[np.float32], asked: Asked, warm: NDArray[np.bool_]) -> float:
    """What scores [Q, I] find over all, warm and cold items, which count alike."""
    found = evaluate(Made(scores), asked, warm)
    return float(np.nansum([found[kind + name] for kind in KINDS for name in CHOSEN_BY]))


@torch.no_grad()
def finish(builder: Builder, split: Split) -> None:
    """Sets all to what finds most over all, warm and cold items, which count alike."""
    evidence = builder.model.evidence
    if evidence is None:
        return
    asked, warm = split.valid.first(MOST), split.degrees > 0
    whole = slice(0, builder.size)

    def value(scores: Tensor) -> float:
        return worth(scores.numpy(), asked, warm)

    def scores() -> Tensor:
        return torch.as_tensor(builder.scores(asked.shown)(whole))

    made = scores()
    best = value(made)
    for penalty in PENALTIES:
        part = torch.as_tensor(ridge_scores(builder.blocks, asked.shown, penalty)(whole))
        best_parts = part.topk(min(20, builder.size)).values.mean(0)
        unit = FIRST / max(float(best_parts[-1]), float(best_parts[0]) / STEEPEST, 1e-9)
        for weight in WEIGHTS:
            if (found := value(made + weight * unit * part)) > best:
                best = found
                evidence.ridge.copy_(torch.tensor([weight * unit, penalty]))
    learnt = evidence.weight.clone()
    alone = learnt.where(~torch.tensor(evidence.company), 0.0)
    cold, chosen = torch.from_numpy(~warm).float(), (learnt, 0.0)
    for weights in (learnt, alone):
        evidence.weight.copy_(weights)
        made = scores()
        for offset in OFFSETS:
            if (found := value(made + offset * cold)) > best:
                best, chosen = found, (weights, offset)
    evidence.weight.copy_(chosen[0])
    evidence.popularity[1] += chosen[1]
