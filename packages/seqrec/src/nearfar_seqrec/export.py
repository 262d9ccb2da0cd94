"""Vectors of items and users, for a nearest-neighbour index: inner products are the scores."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import torch

from nearfar_kit.atomic import replacing
from nearfar_kit.errors import UserError
from nearfar_kit.frames import write_frame
from nearfar_seqrec.recommend import histories_of
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.split import padded

__all__ = ["export", "item_vectors", "user_vectors"]

BATCH = 1024


def item_vectors(recommender: Recommender) -> np.ndarray:
    """[I, width] float32, in the order of ``sequences.items``."""
    vectors: np.ndarray = recommender.model.item_vectors().detach()[1:].float().numpy()
    return vectors


def user_vectors(recommender: Recommender) -> np.ndarray:
    """[U, width] float32, of all that is known of each user."""
    scorer = recommender.scorer()
    known = recommender.sequences
    parts = []
    for first in range(0, len(known), BATCH):
        rows = slice(first, min(first + BATCH, len(known)))
        items = padded(known.flat, known.start[rows], known.lengths[rows])
        parts.append(scorer.states(torch.from_numpy(items)).float())
    return torch.cat(parts).numpy()


def export(recommender: Recommender, out: Path, *, faiss: bool = False) -> list[Path]:
    """``items.npy`` and ``users.npy``, and the names of their rows, ``items.csv``, ``users.csv``.

    Args:
        faiss: whether to write ``items.faiss`` too, an exact index by inner product.

    Raises:
        UserError: faiss is asked for and not installed; a file is where the folder should be.
    """
    if faiss and find_spec("faiss") is None:
        raise UserError("--faiss: is not installed; expected pip install nearfar-seqrec[faiss]")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"--out {out}: is a file; expected a folder") from None
    vectors = {"items": item_vectors(recommender), "users": user_vectors(recommender)}
    names = {
        "items": [str(n) for n in recommender.sequences.items],
        "users": [user for user, _ in histories_of(recommender)],
    }
    written = []
    for what in vectors:
        path = out / f"{what}.npy"
        with replacing(path) as beside, beside.open("wb") as file:
            np.save(file, vectors[what])
        write_frame(pl.DataFrame({what[:-1]: names[what]}), out / f"{what}.csv")
        written += [path, out / f"{what}.csv"]
    if faiss:
        library = import_module("faiss")

        index = library.IndexFlatIP(vectors["items"].shape[1])
        index.add(vectors["items"])
        with replacing(out / "items.faiss") as beside:
            library.write_index(index, str(beside))
        written.append(out / "items.faiss")
    return written
