"""DNABERT-2's and DNABERT-S's published weights, from a folder, with a report on every key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nearfar_dna.encoders import DnabertEncoder
from nearfar_dna.tokenizer import read_tokenizer
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.json_files import read_json

__all__ = ["KeyReport", "is_pretrained", "read_pretrained", "take_weights"]

PREFIXES = ("module.", "bert.", "dnabert2.")  # of several processes, of BERT with a head on it
NAMES = (  # as published, and here
    ("embeddings.word_embeddings.", "embedding."),
    ("embeddings.token_type_embeddings.", "kinds."),
    ("embeddings.LayerNorm.", "norm."),
    ("encoder.layer.", "layers."),
    (".attention.self.Wqkv.", ".qkv."),
    (".attention.output.dense.", ".out."),
    (".attention.output.LayerNorm.", ".after_attention."),
    (".mlp.gated_layers.", ".gated."),
    (".mlp.wo.", ".back."),
    (".mlp.layernorm.", ".after_feed."),
)
LAYER_NORM = 1e-12
MAX_TOKENS = 2000  # of a piece of 10 kb, as DNABERT-S was trained


@dataclass(frozen=True)
class KeyReport:
    """What became of each tensor, by the names of the file.

    Attributes:
        loaded: into the encoder. missing: of the encoder, not in the file (the encoder's names).
        unexpected: in the file, not of the encoder, as heads are.
        reshaped: in both, of another shape: name, shape found, shape expected.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def whole(self) -> bool:
        """Whether the encoder has all its weights."""
        return not self.missing and not self.reshaped

    def lines(self) -> list[str]:
        """One line a kind."""
        told = [f"{len(self.loaded)} tensors loaded"]
        if self.missing:
            told.append(f"{len(self.missing)} missing: {', '.join(self.missing)}")
        if self.reshaped:
            told.append(
                f"{len(self.reshaped)} of another shape: "
                + ", ".join(f"{name} {a}, expected {b}" for name, a, b in self.reshaped)
            )
        if self.unexpected:
            told.append(f"{len(self.unexpected)} left aside: {', '.join(self.unexpected)}")
        return told


def is_pretrained(folder: Path) -> bool:
    """Whether a folder is laid out as published models are."""
    return (folder / "config.json").is_file()


def take_weights(encoder: nn.Module, weights: Mapping[str, Tensor]) -> KeyReport:
    """Copies what fits, by the published names; nothing is taken silently."""
    report, taken = _compared(encoder, weights)
    encoder.load_state_dict(taken, strict=False)
    return report


def _compared(
    encoder: nn.Module, weights: Mapping[str, Tensor]
) -> tuple[KeyReport, dict[str, Tensor]]:
    """What would become of each tensor, and those that fit, by the names here."""
    own = encoder.state_dict()
    loaded, unexpected, reshaped, seen = [], [], [], set()
    taken: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        here = _name_here(name)
        if here not in own:
            unexpected.append(name)
            continue
        seen.add(here)
        if tensor.shape != own[here].shape:
            reshaped.append((name, tuple(tensor.shape), tuple(own[here].shape)))
        else:
            taken[here] = tensor
            loaded.append(name)
    missing = tuple(name for name in own if name not in seen)
    return KeyReport(tuple(loaded), missing, tuple(unexpected), tuple(reshaped)), taken


def read_pretrained(
    folder: Path, max_tokens: int = MAX_TOKENS
) -> tuple[DnabertEncoder, dict[str, Any], KeyReport]:
    """The encoder of ``config.json``, ``tokenizer.json`` and ``*.safetensors`` in a folder.

    Returns:
        The encoder, the settings that describe it, and what became of each key.

    Raises:
        UserError: a file is missing or damaged, or the encoder does not get all its weights.
    """
    config = _config(folder / "config.json")
    tokenizer = read_tokenizer(folder / "tokenizer.json")
    sizes: dict[str, Any] = {
        "vocabulary": config["vocab_size"],
        "width": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "hidden": config["intermediate_size"],
        "max_tokens": max_tokens,
    }
    weights = _weights(folder)
    # Sizes are a stranger's: what they claim is compared before it is made.
    if config["num_hidden_layers"] > len(weights):
        raise UserError(
            f"{folder}: num_hidden_layers is {config['num_hidden_layers']}, and there are "
            f"{len(weights)} tensors; expected some for each layer"
        )
    try:
        with torch.device("meta"):
            claimed = DnabertEncoder(tokenizer, **sizes)
        report = _compared(claimed, weights)[0]
        encoder = DnabertEncoder(tokenizer, **sizes) if report.whole else claimed
    except (ValueError, RuntimeError, OverflowError, TypeError) as error:
        raise UserError(f"{folder}: {first_line(error)}") from None
    if not report.whole:
        raise UserError(f"{folder}: is not all of a DNABERT-2 encoder; {'; '.join(report.lines())}")
    take_weights(encoder, weights)
    return encoder, sizes | {"encoder": "dnabert"}, report


def _name_here(name: str) -> str:
    while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
        name = name.removeprefix(prefix)
    for published, here in NAMES:
        name = name.replace(published, here)
    # A head's tensors must not pass for the encoder's.
    return name if re.match(r"(embedding|kinds|norm|layers\.\d+)\.", name) else ""


def _config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    wanted = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
              "intermediate_size")  # fmt: skip
    for key in wanted:
        value = config.get(key) if isinstance(config, dict) else None
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{path}: {key} is {value!r}; expected a number, as DNABERT-2 has it")
    for key, expected in (("hidden_act", "gelu"), ("layer_norm_eps", LAYER_NORM)):
        if config.get(key, expected) != expected:
            raise UserError(f"{path}: {key} is {config[key]!r}; expected {expected!r}")
    return dict(config)


def _weights(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = next(iter([*folder.glob("*.bin"), *folder.glob("*.pt")]), None)
        reason = f"; {pickled.name} is pickled and not read" if pickled else ""
        raise UserError(f"{folder}: holds no *.safetensors{reason}; expected model.safetensors")
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file}: is no safetensors file, or damaged ({error})") from None
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{folder}: {name} holds NaN or infinity; expected finite weights")
    return weights
