"""What is known of items beside bundles: learnt once from a catalogue, given to items to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD

from nearfar_bundle.catalogue import Catalogue, Floats
from nearfar_bundle.features import Block, LabelRows, TextRows, vector_rows
from nearfar_kit.checkpoint import check_kinds
from nearfar_kit.errors import UserError

__all__ = ["Description"]


@dataclass
class Description:
    """TF-IDF, weights of labels, and the planes that the encoder reads text and labels in.

    Attributes:
        texts, labels: by modality.
        planes: by modality of text or labels, [F, D], the first right singular vectors.
        widths: by modality of vectors, their width.
    """

    texts: dict[str, TextRows] = field(default_factory=dict)
    labels: dict[str, LabelRows] = field(default_factory=dict)
    planes: dict[str, Floats] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Catalogue, width: int) -> Description:
        """Learnt from all items of the catalogue, whether in bundles or not."""
        own = cls(
            {name: TextRows.of(texts) for name, texts in known.texts.items()},
            {name: LabelRows.of(labels) for name, labels in known.labels.items()},
            widths={name: vectors.shape[1] for name, vectors in known.vectors.items()},
        )
        for block in own.blocks(known.texts, known.labels, known.vectors, len(known)):
            if block.kind != "vectors":
                own.planes[block.name] = _plane(block.rows, width)
        return own

    def blocks(
        self,
        texts: Mapping[str, Sequence[str]],
        labels: Mapping[str, Sequence[tuple[str, ...]]],
        vectors: Mapping[str, Floats],
        items: int,
    ) -> list[Block]:
        """A block a modality for n items; a modality that is not given is missing for all.

        Raises:
            UserError: vectors are of another width or number.
        """
        found = []
        for name, text in self.texts.items():
            rows = text.rows(texts.get(name, [""] * items))
            found.append(Block(name, "text", rows, tuple(text.words)))
        for name, label in self.labels.items():
            rows = label.rows(labels.get(name, [()] * items))
            found.append(Block(name, "labels", rows, tuple(label.names)))
        for name, width in self.widths.items():
            own = vectors.get(name, np.full((items, width), np.nan, np.float32))
            if own.shape != (items, width):
                raise UserError(
                    f"vectors {name}: have shape {own.shape}; expected ({items}, {width}), a row "
                    "an item"
                )
            found.append(Block(name, "vectors", vector_rows(own)))
        return found

    def dense(self, block: Block) -> torch.Tensor:
        """What the encoder reads of a block: [I, D], rows of zeros where it is missing."""
        rows = block.rows @ self.planes[block.name] if block.name in self.planes else block.rows
        return torch.from_numpy(np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows))

    def state(self) -> dict[str, Any]:
        """For :func:`nearfar_kit.checkpoint.save_checkpoint`."""
        return {
            "texts": {n: [t.words, torch.from_numpy(t.weights)] for n, t in self.texts.items()},
            "labels": {n: [t.names, torch.from_numpy(t.weights)] for n, t in self.labels.items()},
            "planes": {n: torch.from_numpy(p) for n, p in self.planes.items()},
            "widths": self.widths,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Description:
        check_kinds(state, texts=dict, labels=dict, planes=dict, widths=dict)
        return cls(
            {n: TextRows(words, w.numpy()) for n, (words, w) in state["texts"].items()},
            {n: LabelRows(names, w.numpy()) for n, (names, w) in state["labels"].items()},
            {n: plane.numpy() for n, plane in state["planes"].items()},
            dict(state["widths"]),
        )


def _plane(rows: csr_matrix, width: int) -> Floats:
    """[F, min(width, F)]: all of few columns, the first singular vectors of many."""
    if rows.shape[1] <= width:
        return np.eye(rows.shape[1], dtype=np.float32)
    fitted = TruncatedSVD(min(width, *rows.shape), random_state=0, n_iter=3).fit(rows)
    plane: Floats = fitted.components_.T.astype(np.float32)
    return plane
