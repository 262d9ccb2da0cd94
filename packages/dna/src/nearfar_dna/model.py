"""The model that ``train`` leaves: sequences in, unit rows out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import normalize

from nearfar_dna.alphabet import Codes
from nearfar_dna.composition import unit_rows
from nearfar_dna.encoders import (
    CompositionEncoder,
    DnabertEncoder,
    Encoder,
    TokenEncoder,
    TransformerEncoder,
    encode,
)
from nearfar_dna.genomes import Genomes
from nearfar_dna.pretrained import KeyReport, is_pretrained, read_pretrained
from nearfar_dna.settings import DnaSettings
from nearfar_dna.tokenizer import tokenizer_of
from nearfar_kit.checkpoint import model_state, restored, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.run import model_of
from nearfar_kit.settings import load_settings

__all__ = ["DnaModel", "new_encoder", "new_head"]

FORMAT = "nearfar-dna model 1"
BASES_A_TOKEN = 5  # or nearly


class DnaModel:
    """An encoder that has learnt, with its settings.

    Attributes:
        keys: what became of published weights, where it was made of them.
        learnt_from: (fingerprint, species) of each genome trained on, as far as known.

    Example:
        >>> from nearfar_dna.alphabet import encode as codes_of
        >>> settings = DnaSettings(width=8)
        >>> model = DnaModel(settings, new_encoder(settings))
        >>> model.embed([codes_of("ACGTTGCA" * 20)]).shape
        (1, 8)
    """

    def __init__(
        self,
        settings: DnaSettings,
        encoder: Encoder,
        keys: KeyReport | None = None,
        learnt_from: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.settings, self.encoder, self.keys = settings, encoder.eval(), keys
        self.learnt_from = tuple((mark, species) for mark, species in learnt_from)

    def known(self, genomes: Genomes) -> tuple[list[str], list[str]]:
        """Names of the genomes that were trained on, by their bases; and of such species."""
        marks = {mark for mark, _ in self.learnt_from}
        species = {name for _, name in self.learnt_from}
        here = [genome.name for genome in genomes.genomes if genome.fingerprint in marks]
        return here, [name for name in genomes.names if name in species]

    @torch.no_grad()
    def embed(self, sequences: Sequence[Codes]) -> NDArray[np.float32]:
        """Rows of norm 1 [N, width]; a sequence that is too long for the encoder by its pieces."""
        device = next(self.encoder.parameters()).device
        if isinstance(self.encoder, CompositionEncoder):
            parts, owner = list(sequences), np.arange(len(sequences))
        else:
            size = BASES_A_TOKEN * self.settings.max_tokens
            cut = [
                (number, codes[start : start + size])
                for number, codes in enumerate(sequences)
                for start in range(0, max(len(codes), 1), size)
            ]
            parts, owner = [part for _, part in cut], np.array([number for number, _ in cut])
            # Those of a length together: little is padded.
            order = np.argsort([len(part) for part in parts], kind="stable")
            parts, owner = [parts[number] for number in order], owner[order]
        rows = np.zeros((len(sequences), self.encoder.width), np.float32)
        batch = self.encoder.batch
        for start in range(0, len(parts), batch):
            prepared = self.encoder.prepare(parts[start : start + batch]).to(device)
            found = normalize(encode(self.encoder, prepared).float(), dim=1).cpu().numpy()
            np.add.at(rows, owner[start : start + batch], found)
        return unit_rows(rows)

    def save(self, path: str | Path) -> None:
        """One file, which :meth:`load` and the command line's ``--model`` read."""
        tokenizer = None
        if isinstance(self.encoder, TokenEncoder):
            tokenizer = self.encoder.tokenizer.to_str()
        save_checkpoint(
            Path(path),
            {
                "format": FORMAT,
                "settings": self.settings.model_dump(mode="json"),
                "tokenizer": tokenizer,
                "encoder": dict(self.encoder.state_dict()),
                "learnt_from": [list(one) for one in self.learnt_from],
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> DnaModel:
        """What :meth:`save` wrote, a run folder that has it, or a folder of published weights.

        Raises:
            UserError: there is none, or it does not hold together.
        """
        path = Path(path)
        if is_pretrained(path):
            encoder, sizes, keys = read_pretrained(path)
            settings = load_settings(DnaSettings, base=sizes | {"pretrained": str(path)})
            return cls(settings, encoder, keys)
        path = model_of(path)
        with model_state(path, FORMAT) as state:
            settings = load_settings(DnaSettings, base=state["settings"])
            kept = state["tokenizer"]
            tokenizer = tokenizer_of(kept, str(path)) if kept else None
            own = restored(lambda: new_encoder(settings, tokenizer), state["encoder"])
            learnt_from = [(str(mark), str(name)) for mark, name in state.get("learnt_from", ())]
        return cls(settings, own, learnt_from=learnt_from)


def new_encoder(settings: DnaSettings, tokenizer: Tokenizer | None = None) -> Encoder:
    """An encoder before its first step, its weights drawn from torch's own generator.

    Args:
        tokenizer: for those that read tokens.
    """
    if settings.encoder == "composition":
        return CompositionEncoder(settings.kmers, settings.width, settings.depth, settings.hidden)
    if tokenizer is None:
        raise UserError(f"settings: encoder {settings.encoder} has no tokenizer; expected one")
    try:
        if settings.encoder == "dnabert":
            return DnabertEncoder(
                tokenizer, settings.vocabulary, settings.width, settings.depth, settings.heads,
                settings.hidden, settings.max_tokens,
            )  # fmt: skip
        return TransformerEncoder(
            tokenizer, settings.width, settings.depth, settings.heads, settings.hidden,
            settings.positions, settings.max_tokens,
        )  # fmt: skip
    except ValueError as error:
        raise UserError(f"settings: {error}") from None


def new_head(settings: DnaSettings) -> nn.Module:
    """The head that is trained with the encoder and left away after: ``W2 ReLU(W1 e)``."""
    if settings.projection == 0:
        return nn.Identity()
    return nn.Sequential(
        nn.Linear(settings.width, settings.width, bias=False),
        nn.ReLU(),
        nn.Linear(settings.width, settings.projection, bias=False),
    )
