"""Byte-pair tokens of DNA."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, trainers

from nearfar_dna.alphabet import Codes, decode
from nearfar_kit.errors import UserError

__all__ = ["learn_tokenizer", "read_tokenizer"]

STRETCH = 2000  # bases: training is quadratic in the length of what it is fed
LONGEST_TOKEN = 16
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]


def learn_tokenizer(sequences: Iterable[Codes], vocabulary: int = 4096) -> Tokenizer:
    """Byte-pair encoding of ``vocabulary`` tokens, DNABERT-2's special ones among them.

    Zhou et al. 2023 (arXiv 2306.15006). N is ``[UNK]``.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )  # fmt: skip
    stretches = (
        part
        for codes in sequences
        for start in range(0, len(codes), STRETCH)
        for part in decode(codes[start : start + STRETCH]).split("N")
        if part
    )
    tokenizer.train_from_iterator(stretches, trainer)
    return tokenizer


def read_tokenizer(path: Path) -> Tokenizer:
    """A ``tokenizer.json``.

    Raises:
        UserError: it cannot be read, or has no token ``[PAD]``.
    """
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # tokenizers has no exception of its own
        raise UserError(f"{path}: is no tokenizer.json ({str(error).splitlines()[0]})") from None
    if tokenizer.token_to_id("[PAD]") is None:
        raise UserError(f"{path}: has no token [PAD]; expected one")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
