"""Byte-pair tokens of DNA."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, trainers

from nearfar_dna.alphabet import Codes, decode
from nearfar_kit.errors import UserError, first_line
from nearfar_kit.json_files import parse_json
from nearfar_kit.settings import in_short
from nearfar_kit.text_files import read_text

__all__ = ["learn_tokenizer", "read_tokenizer", "tokenizer_of"]

STRETCH = 2000  # bases: training is quadratic in the length of what it is fed
LONGEST_TOKEN = 16
# What each part of a stranger's tokenizer.json may be.
TAME = {
    "normalizer": (
        "Sequence", "BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip",
        "StripAccents", "Nmt", "ByteLevel", "Prepend", "Replace",
    ),
    "pre_tokenizer": (
        "Sequence", "BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel", "Metaspace",
        "Punctuation", "Digits", "UnicodeScripts", "CharDelimiterSplit", "FixedLength", "Split",
    ),
    "post_processor": (
        "Sequence", "BertProcessing", "RobertaProcessing", "ByteLevel", "TemplateProcessing",
    ),
    "model": ("BPE", "WordPiece", "WordLevel", "Unigram"),
}  # fmt: skip
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
    tokenizer = tokenizer_of(read_text(path, "a tokenizer.json"), str(path))
    if tokenizer.token_to_id("[PAD]") is None:
        raise UserError(f"{path}: has no token [PAD]; expected one")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def tokenizer_of(text: str, where: str) -> Tokenizer:
    """What a ``tokenizer.json`` holds, if it takes time and memory as its text is long.

    Raises:
        UserError: it is none, or has a part that may blow up: a regular expression, a text put in
            the place of a shorter one, a sequence of tokens taken twice.
    """
    content = parse_json(text, where)
    if not isinstance(content, dict):
        raise UserError(f"{where}: is a {type(content).__name__}; expected a tokenizer.json")
    for part, known in TAME.items():
        left = [content.get(part)]
        while left:
            node = left.pop()
            if node is None:
                continue
            if not isinstance(node, dict) or not _is_tame(node, known):
                kind = node.get("type") if isinstance(node, dict) else node
                raise UserError(
                    f"{where}: the tokenizer's {part} is {in_short(kind)}, which may take memory "
                    "or time without end; expected parts without regular expressions that give as "
                    "much as they are given"
                )
            for inner in ("normalizers", "pretokenizers", "processors"):
                left += node.get(inner, ())
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # tokenizers has no exception of its own
        raise UserError(f"{where}: is no tokenizer.json ({first_line(error)})") from None


def _is_tame(node: dict[str, Any], known: tuple[str, ...]) -> bool:
    """Whether a part gives as much as it is given, or a few tokens more."""
    kind = node.get("type", "BPE")  # as the first tokenizers were written
    parts = [node.get(inner, []) for inner in ("normalizers", "pretokenizers", "processors")]
    if kind not in known or not all(isinstance(inner, list) for inner in parts):
        return False
    match kind:
        case "Split":
            return _text_of(node.get("pattern")) is not None
        case "Replace":
            pattern, content = _text_of(node.get("pattern")), node.get("content")
            return bool(pattern) and isinstance(content, str) and len(content) <= len(pattern or "")
        case "Prepend":
            return len(str(node.get("prepend", ""))) <= LONGEST_TOKEN
        case "TemplateProcessing":
            single = node.get("single")
            pieces = single if isinstance(single, list) else []
            taken = [piece for piece in pieces if isinstance(piece, dict) and "Sequence" in piece]
            return len(pieces) <= LONGEST_TOKEN and len(taken) == 1
    most = node.get("max_input_chars_per_word", 0)  # a word takes their cube in time
    return isinstance(most, int) and most <= 1000


def _text_of(pattern: Any) -> str | None:
    """Of a pattern that is no regular expression."""
    text = pattern.get("String") if isinstance(pattern, dict) else None
    return text if isinstance(text, str) else None
