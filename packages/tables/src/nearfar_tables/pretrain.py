"""SSACL's training: a row and its perturbed copies are one thing, a row and another row are not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nearfar.functional import info_nce, siglip
from nearfar_kit.progress import Progress
from nearfar_tables.adversarial import adversarial
from nearfar_tables.cells import Cells
from nearfar_tables.embeddings import embedded, embedding_width
from nearfar_tables.lexicon import synonyms
from nearfar_tables.matcher import Matcher, PairBatch
from nearfar_tables.perturb import perturbed
from nearfar_tables.settings import TablesSettings
from nearfar_tables.similarity import ATTRIBUTE, RECORD, PairFeatures, Similarity

__all__ = ["PairTensors", "new_matcher", "pretrain"]


@dataclass(frozen=True)
class PairTensors:
    """What a matcher reads of P pairs: codes of cells, and their embeddings once.

    Attributes:
        table: [V + 1, D], the last row for cells that are absent.
        left, right: [P, m] rows of ``table``.
        attribute: [P, m, F]. record: [P, G].
    """

    table: Tensor
    left: Tensor
    right: Tensor
    attribute: Tensor
    record: Tensor

    @classmethod
    def of(
        cls, cells: Cells, vectors: NDArray[np.float32], pairs: NDArray[np.int64],
        features: PairFeatures,
    ) -> PairTensors:  # fmt: skip
        table = np.concatenate([vectors, np.zeros((1, vectors.shape[1]), np.float32)])
        codes = np.where(cells.codes < 0, len(vectors), cells.codes)
        return cls(
            torch.from_numpy(table),
            torch.from_numpy(codes[pairs[:, 0]]),
            torch.from_numpy(codes[pairs[:, 1]]),
            torch.from_numpy(np.nan_to_num(features.attribute, nan=0.0)),
            torch.from_numpy(features.record),
        )

    def batch(self, rows: Tensor) -> PairBatch:
        left, right, absent = self.left[rows], self.right[rows], len(self.table) - 1
        return PairBatch(
            self.table[left], self.table[right], left != absent, right != absent,
            self.attribute[rows], self.record[rows],
        )  # fmt: skip

    def logits(self, matcher: Matcher, chunk: int = 1024) -> NDArray[np.float64]:
        """[P] the matcher's logits."""
        matcher.eval()
        with torch.no_grad():
            parts = [
                matcher(self.batch(rows))
                for rows in torch.split(torch.arange(len(self.record)), chunk)
            ]
        found: NDArray[np.float64] = torch.cat([torch.zeros(0), *parts]).double().numpy()
        return found


def new_matcher(attributes: int, settings: TablesSettings, seed: int) -> Matcher:
    """A matcher before its first step, its weights drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Matcher(
            attributes, len(ATTRIBUTE), len(RECORD), embedding_width(settings),
            width=settings.width, dropout=settings.dropout,
        )  # fmt: skip


def pretrain(
    cells: Cells,
    candidates: NDArray[np.int64],
    settings: TablesSettings,
    seed: int,
    *,
    similarity: Similarity | None = None,
    quiet: bool = True,
) -> Matcher:
    """A matcher that has learnt from perturbed copies of the table's own rows.

    Args:
        cells: N rows. candidates: [P, 2] pairs that blocking found: a share of the negatives is
            drawn from them; those whose rows are more alike than ``settings.ceiling`` are left out,
            for a table holds true duplicates.
        similarity: of ``cells``, where it has been made already.
    """
    rng = np.random.default_rng(seed)
    similarity = similarity or Similarity(cells)
    tensors, label, anchors = _examples(cells, candidates, settings, similarity, rng)
    matcher = new_matcher(len(cells.columns), settings, seed)
    optimizer = torch.optim.AdamW(
        matcher.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with Progress("learning from perturbed rows", settings.epochs, quiet=quiet) as bar:
            for _ in range(settings.epochs):
                matcher.train()
                losses = []
                for rows in torch.split(torch.randperm(len(label)), settings.batch):
                    loss = objective(matcher, tensors.batch(rows), label[rows], settings)
                    if settings.contrastive != "none":
                        loss = loss + settings.contrastive_weight * _between_rows(
                            matcher, tensors, label, anchors, rows, settings
                        )
                    optimizer.zero_grad()
                    torch.autograd.backward(loss)
                    optimizer.step()
                    losses.append(loss.item())
                bar.advance(loss=float(np.mean(losses)))
    return matcher.eval()


def objective(
    matcher: Matcher, pairs: PairBatch, label: Tensor, settings: TablesSettings
) -> Tensor:
    """Binary noise-contrastive loss, plus that of copies moved against the matcher.

    ``-log f(t, t+) - log(1 - f(t, t-)) + w -log f(t, t + d)``; the moved copies are those of the
    batch's positives.
    """
    loss = binary_cross_entropy_with_logits(matcher(pairs), label)
    if settings.adversarial == "none" or not label.any():
        return loss
    own = _chosen(pairs, label > 0)
    yes = torch.ones(len(own.record))

    def of(right: Tensor) -> Tensor:
        moved = PairBatch(own.left, right, own.left_present, own.right_present, own.attribute,
                          own.record)  # fmt: skip
        return binary_cross_entropy_with_logits(matcher(moved), yes)

    steps = 1 if settings.adversarial == "fgm" else 3
    moved = adversarial(own.right, of, epsilon=settings.epsilon, steps=steps)
    return loss + settings.adversarial_weight * of(moved)


def _between_rows(
    matcher: Matcher, tensors: PairTensors, label: Tensor, anchors: Tensor, rows: Tensor,
    settings: TablesSettings,
) -> Tensor:  # fmt: skip
    """The core's loss between rows and their copies, each row once in a batch."""
    own = rows[label[rows] > 0]
    seen: dict[int, int] = {}
    for place, anchor in enumerate(anchors[own].tolist()):
        seen.setdefault(anchor, place)
    own = own[list(seen.values())]
    if len(own) < 2:
        return torch.zeros(())
    pairs = tensors.batch(own)
    x = matcher.rows(pairs.left, pairs.left_present)
    y = matcher.rows(pairs.right, pairs.right_present)
    return siglip(x, y) if settings.contrastive == "siglip" else info_nce(x, y)


def _chosen(pairs: PairBatch, which: Tensor) -> PairBatch:
    return PairBatch(
        pairs.left[which], pairs.right[which], pairs.left_present[which],
        pairs.right_present[which], pairs.attribute[which], pairs.record[which],
    )  # fmt: skip


def _examples(
    cells: Cells, candidates: NDArray[np.int64], settings: TablesSettings,
    similarity: Similarity, rng: np.random.Generator,
) -> tuple[PairTensors, Tensor, Tensor]:  # fmt: skip
    """Pairs of rows with their copies and with other rows, their labels, and their first rows."""
    n = len(cells.codes)
    words = synonyms()
    chosen = rng.permutation(n)[: settings.rows]
    own = cells.part(chosen)
    texts = [own.texts(column) for column in range(len(cells.columns))]
    copies = [
        perturbed([column[place] for column in texts], rng, words, times=settings.operations)
        for place in range(len(chosen))
        for _ in range(settings.positives)
    ]
    total = len(chosen) * settings.negatives
    hard = min(round(settings.hard_share * total), len(candidates))
    negatives = np.concatenate(
        [
            rng.permutation(candidates)[:hard],
            np.stack([rng.choice(chosen, total - hard), rng.integers(n, size=total - hard)], 1),
        ]
    )
    # The rows that are met and no others, then the copies.
    rows = np.union1d(chosen, negatives)
    met = cells.part(rows)
    both = Cells.of_texts(
        cells.columns,
        [
            [*met.texts(column), *(copy[column] for copy in copies)]
            for column in range(len(cells.columns))
        ],
    )
    positives = np.stack(
        [
            np.searchsorted(rows, np.repeat(chosen, settings.positives)),
            len(rows) + np.arange(len(copies)),
        ],
        axis=1,
    )
    negatives = np.searchsorted(rows, negatives)
    features = similarity.features(both, negatives)
    alike = features.record[:, :2].mean(1)
    # The most alike candidates hold the table's own matches.
    fine = (negatives[:, 0] != negatives[:, 1]) & (alike < settings.ceiling)
    fine[:hard] &= alike[:hard] <= np.quantile(alike[:hard], 0.75) if hard else True
    pairs = np.concatenate([positives, negatives[fine]])
    whole = similarity.features(both, pairs)
    label = torch.from_numpy(np.arange(len(pairs)) < len(positives)).float()
    tensors = PairTensors.of(both, embedded(both, settings), pairs, whole)
    return tensors, label, torch.from_numpy(pairs[:, 0])
