"""The decoder's vocabulary: one for all tasks, for it has no head that grows."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_speech.targets import FILL, SEP

__all__ = ["EOS", "PAD", "SOS", "UNK", "Tokens"]

PAD, UNK, SOS, EOS = 0, 1, 2, 3
_MARKERS = (SEP, FILL)
_LIMIT = re.compile(r"value <= (\d+)")
_BYTES = 256  # pieces of byte fallback


class Tokens:
    """Byte pair encoding by SentencePiece; each of the target's markers is one token.

    A model takes its vocabulary from ``len(tokens)``, never from a setting: texts too few for the
    size asked for give a smaller one.

    Example:
        >>> tokens = Tokens.train(["lights_on _SEP turn it on", "lights_off _SEP turn it off"], 60)
        >>> tokens.decode(tokens.encode("lights_on _SEP turn it off"))
        'lights_on _SEP turn it off'
    """

    def __init__(self, model: bytes) -> None:
        """``model``: what SentencePiece wrote (a protocol buffer), as :attr:`model` gives it."""
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            size = self._processor.GetPieceSize()
        except RuntimeError:
            size = 0
        if not size:
            raise UserError("tokenizer: is no SentencePiece model; expected one that Tokens saved")
        own = (
            self._processor.pad_id(),
            self._processor.unk_id(),
            self._processor.bos_id(),
            self._processor.eos_id(),
        )
        if own != (PAD, UNK, SOS, EOS):
            raise UserError(f"tokenizer: PAD, UNK, SOS, EOS are {own}; expected 0, 1, 2, 3")

    @classmethod
    def train(
        cls, texts: Iterable[str], size: int = 1000, *, byte_fallback: bool = False
    ) -> Tokens:
        """A vocabulary of the training texts of all tasks.

        Every character of theirs is in it, so that other words of the same characters can be
        spelt. The same texts give the same tokens.

        Args:
            size: of the vocabulary, special tokens with it; fewer where the texts hold fewer.
            byte_fallback: 256 tokens more, one a byte, that spell any character the texts lack:
                for words of tasks that are not known yet. All other tokens stay the same.

        Raises:
            UserError: there is no text, or the size cannot hold the texts' characters.
        """
        texts = [text for text in texts if text.split()]
        if not texts:
            raise UserError("tokenizer: no text to train on; expected the targets of all tasks")
        plain = " ".join(texts).replace(SEP, " ").replace(FILL, " ")
        needed = len(set("".join(plain.split()))) + 1 + 4 + len(_MARKERS)  # 1: a sign for blanks
        if size < needed:
            raise UserError(f"tokenizer: a size of {size}; these texts' characters need {needed}")
        size += _BYTES if byte_fallback else 0
        try:
            return cls(_trained(texts, size, byte_fallback))
        except RuntimeError as error:
            # BPE ends where every word is one token; the message tells at which size.
            limit = _LIMIT.search(str(error))
            if limit is None:
                raise UserError(f"tokenizer: cannot be trained ({error})") from None
            return cls(_trained(texts, int(limit[1]), byte_fallback))

    def __len__(self) -> int:
        return int(self._processor.GetPieceSize())

    def encode(
        self, text: str, dropout: float = 0.0, draw: np.random.Generator | None = None
    ) -> list[int]:
        """Ids of a text, without SOS and EOS.

        Args:
            dropout: the chance of each merge to be skipped, at each step anew (BPE-dropout,
                Provilkov et al. 2020, 1910.13267).
            draw: where that chance comes from. SentencePiece's own differs from process to
                process, whatever it is seeded with.
        """
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; expected 0 <= dropout < 1")
        if dropout and draw is None:
            raise ValueError("dropout needs a generator to draw from; got none")
        if not dropout or draw is None:
            return list(self._processor.Encode(text))
        pieces: list[str] = []
        for piece in self._processor.EncodeAsPieces(text):
            whole = piece in _MARKERS or self._processor.IsByte(self._processor.PieceToId(piece))
            pieces += [piece] if whole else list(piece)
        return [self._processor.PieceToId(p) for p in self._merged(pieces, dropout, draw)]

    @property
    def bytes(self) -> list[int]:
        """Ids of byte fallback's tokens; none where the vocabulary was learnt without."""
        return [number for number in range(len(self)) if self._processor.IsByte(number)]

    def unknown(self, text: str) -> tuple[str, ...]:
        """The characters of a text that cannot be spelt, each once."""
        pieces = zip(self._processor.EncodeAsPieces(text), self.encode(text), strict=True)
        return tuple(dict.fromkeys("".join(piece for piece, number in pieces if number == UNK)))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids up to the first EOS; PAD and SOS are passed over.

        Raises:
            ValueError: an id is not in the vocabulary.
        """
        kept = []
        for number in map(int, ids):
            if not 0 <= number < len(self):
                raise ValueError(f"token {number} is not among the {len(self)} of the vocabulary")
            if number == EOS:
                break
            if number not in (PAD, SOS):
                kept.append(number)
        return str(self._processor.Decode(kept))

    def save(self, path: Path | str) -> None:
        """Writes SentencePiece's own file, which SpeechBrain's tokenizer reads too."""
        write_atomic(Path(path), self.model)

    @classmethod
    def load(cls, path: Path | str, size: int | None = None) -> Tokens:
        """What :meth:`save` wrote.

        Args:
            size: what the model was made for; another is refused.

        Raises:
            UserError: the file cannot be read, is no such model, or has another size.
        """
        try:
            model = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            tokens = cls(model)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        if size is not None and len(tokens) != size:
            raise UserError(f"{path}: has {len(tokens)} tokens; the model was made for {size}")
        return tokens

    def _merged(self, pieces: list[str], dropout: float, draw: np.random.Generator) -> list[str]:
        """Neighbours become one piece, the best pair first, until all that are left are skipped."""
        scores = [self._score(*pair) for pair in itertools.pairwise(pieces)]
        while True:
            skipped = draw.random(len(scores)) < dropout
            left = [(-score, place) for place, score in enumerate(scores)
                    if score is not None and not skipped[place]]  # fmt: skip
            if not left:
                return pieces
            _, place = min(left)
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
            del scores[place]
            for near in (place - 1, place):
                if 0 <= near < len(scores):
                    scores[near] = self._score(pieces[near], pieces[near + 1])

    def _score(self, first: str, second: str) -> float | None:
        """Of the piece that both make; None where they make none."""
        if first in _MARKERS or second in _MARKERS:
            return None
        number = self._processor.PieceToId(first + second)
        return None if number == UNK else float(self._processor.GetScore(number))


def _trained(texts: Sequence[str], size: int, byte_fallback: bool) -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type="bpe",
        vocab_size=size,
        pad_id=PAD,
        unk_id=UNK,
        bos_id=SOS,
        eos_id=EOS,
        user_defined_symbols=list(_MARKERS),
        character_coverage=1.0,
        byte_fallback=byte_fallback,
        normalization_rule_name="identity",  # what is decoded is compared with what was given
        max_sentence_length=1 << 20,  # bytes; longer ones would be dropped without a word
        num_threads=1,
        minloglevel=2,
    )
    return written.getvalue()
