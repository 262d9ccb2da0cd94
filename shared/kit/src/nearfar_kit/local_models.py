"""Models of transformers from a stranger's folder: none of its code is run, nothing downloaded."""

from __future__ import annotations

import re
from importlib.util import find_spec
from logging import CRITICAL
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError, first_line
from nearfar_kit.json_files import read_json
from nearfar_kit.panics import panics_told
from nearfar_kit.torchaudio_compat import ensure_torchaudio

__all__ = ["load_local"]

# Of what there may be so many at most, by the names of the settings that count it: each is made, be
# it without memory for its weights.
PARTS = r"^(num|n)_\w*(layer|group|expert|block|head|label)|_(layers|group_num)$"
MOST = 2000
NUMBERS_A_BYTE = 4  # of weights, at most: half a byte each, and some room


def load_local(folder: Path, kind: str, what: str, *, gguf: str | None = None) -> tuple[Any, Any]:
    """The tokenizer and the model, in evaluation.

    Args:
        folder: as transformers saves it, with safetensors weights. kind: the class of transformers
            that reads the model. what: it should be, for the error.
        gguf: a file in the folder that is read instead.

    Raises:
        UserError: there is none; it claims to be larger than its files.
    """
    if find_spec("torchaudio") is not None:  # transformers imports it, where it is, on its own
        ensure_torchaudio()
    import transformers
    from transformers.utils import logging

    path = folder if gguf is None else folder / gguf
    # Asked for code of the folder, transformers would ask the user whether to run it.
    here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if gguf is not None:
        here["gguf_file"] = gguf
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    loud = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)  # tables of what does not fit
    with panics_told(f"{path}: is no {what} (it is damaged)"):
        try:
            if gguf is None:
                _check_claims(folder, kind, here)
            tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **here)
            if gguf is None:
                here["use_safetensors"] = True
            model: Any = getattr(transformers, kind).from_pretrained(str(folder), **here)
        except Exception as error:  # of any kind, by what is wrong in which file
            line = first_line(error)[:200]
            raise UserError(f"{path}: is no {what} ({line})") from None
        finally:
            logging.set_verbosity(loud)
    return tokenizer, model.eval()


def _check_claims(folder: Path, kind: str, here: dict[str, Any]) -> None:
    """Sizes that a configuration claims are filled with chance where the files have nothing."""
    import torch
    import transformers

    _check_parts(read_json(folder / "config.json"))
    config = transformers.AutoConfig.from_pretrained(str(folder), **here)
    with torch.device("meta"):
        model = getattr(transformers, kind).from_config(config, trust_remote_code=False)
    numbers = sum(own.numel() for own in (*model.parameters(), *model.buffers()))
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if size and numbers > NUMBERS_A_BYTE * size:
        raise ValueError(f"claims {numbers} weights, and *.safetensors have {size} bytes")


def _check_parts(settings: Any) -> None:
    """Raises ValueError where they, or those in them, count more than MOST, or name a kernel."""
    if isinstance(settings, list):
        settings = dict(enumerate(settings))
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        name = str(key)
        if re.search(PARTS, name) and isinstance(value, int) and value > MOST:
            raise ValueError(f"claims {value} by {name}; {MOST} are the most")
        if "attn_implementation" in name and "/" in str(value):  # to be fetched from elsewhere
            raise ValueError(f"asks for the kernel {str(value)[:80]!r}")
        _check_parts(value)
