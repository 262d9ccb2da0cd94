"""Rows as another source might have written them: the six perturbations of SSACL.

Ji et al. 2024 (arXiv 2412.00324): remove or replace an attribute; remove, replace or swap words;
mistype characters. Numbers stay numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nearfar_tables.lexicon import KEYBOARD

__all__ = ["OPERATIONS", "perturbed"]

Row = list[str | None]
Words = Mapping[str, Sequence[str]]


def perturbed(
    row: Sequence[str | None],
    rng: np.random.Generator,
    synonyms: Words,
    operations: Sequence[str] = (),
    times: int = 1,
) -> Row:
    """A copy of a row of normalised texts after ``times`` operations, drawn evenly.

    Args:
        operations: names from ``OPERATIONS``; none: all.
    """
    new = list(row)
    names = operations or tuple(OPERATIONS)
    for _ in range(times):
        present = [place for place, value in enumerate(new) if value]
        if present:
            place = present[int(rng.integers(len(present)))]
            value = new[place]
            assert value is not None
            operation = OPERATIONS[names[int(rng.integers(len(names)))]]
            # A row of one attribute must not lose it: nothing would be left to compare.
            new[place] = operation(value, rng, synonyms) or (value if len(present) == 1 else None)
    return new


def _remove_attribute(value: str, rng: np.random.Generator, synonyms: Words) -> None:
    return None


def _replace_attribute(value: str, rng: np.random.Generator, synonyms: Words) -> str:
    """Every word that has a synonym becomes one, and a word in four is left out."""
    words = [_synonym(word, rng, synonyms) for word in value.split()]
    kept = [word for word in words if len(words) < 3 or rng.random() > 0.25]
    return " ".join(kept or words)


def _remove_words(value: str, rng: np.random.Generator, synonyms: Words) -> str:
    words = value.split()
    if len(words) < 2:
        return value
    gone = rng.choice(len(words), size=max(1, round(0.3 * len(words))), replace=False)
    return " ".join(word for place, word in enumerate(words) if place not in gone)


def _replace_word(value: str, rng: np.random.Generator, synonyms: Words) -> str:
    """A synonym where there is one; else the word's beginning, as abbreviations have it."""
    words = value.split()
    known = [place for place, word in enumerate(words) if word in synonyms]
    place = int(rng.choice(known)) if known else int(rng.integers(len(words)))
    word = words[place]
    if known:
        words[place] = _synonym(word, rng, synonyms)
    elif word.isalpha() and len(word) > 3:
        words[place] = word[: int(rng.integers(1, 4))]
    return " ".join(words)


def _swap_words(value: str, rng: np.random.Generator, synonyms: Words) -> str:
    words = value.split()
    if len(words) < 2:
        return value
    place = int(rng.integers(len(words) - 1))
    words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def _mistype(value: str, rng: np.random.Generator, synonyms: Words) -> str:
    """One or two slips: a neighbour for a key or beside it, a key left out, two swapped.

    In a number digits alone change, to digits, and none is added or left out.
    """
    letters = list(value)
    number = all(c.isdigit() or c in ".,-+ " for c in value)
    for _ in range(int(rng.integers(1, 3))):
        open_ = [
            at for at, c in enumerate(letters) if c in KEYBOARD and (c.isdigit() or not number)
        ]
        if not open_:
            break
        at = int(rng.choice(open_))
        near = [c for c in KEYBOARD[letters[at]] if c.isdigit() or not number]
        slip = int(rng.integers(4)) if not number else int(rng.choice([0, 3]))
        if slip == 3 and at + 1 < len(letters) and (not number or letters[at + 1].isdigit()):
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        elif slip == 2 and len(letters) > 1:
            del letters[at]
        elif slip == 1:
            letters.insert(at, near[int(rng.integers(len(near)))])
        else:
            letters[at] = near[int(rng.integers(len(near)))]
    return "".join(letters)


def _synonym(word: str, rng: np.random.Generator, synonyms: Words) -> str:
    others = synonyms.get(word)
    return others[int(rng.integers(len(others)))] if others else word


OPERATIONS: dict[str, Callable[[str, np.random.Generator, Words], str | None]] = {
    "remove attribute": _remove_attribute,
    "replace attribute": _replace_attribute,
    "remove words": _remove_words,
    "replace word": _replace_word,
    "swap words": _swap_words,
    "mistype": _mistype,
}
