"""One fact is written in many ways: the form under which two ways of writing it are equal.

Case, punctuation, separators and well-known abbreviations do not count. What a form leaves out of a
text (a number's unit, initials, the day beside a clock time) is told apart by :func:`left_out`.

Truth discovery on raw text counts ``7:10 a.m.`` and ``12/1 7:10am`` as two values, and
``Knuth, D. E.`` as another than ``Donald E. Knuth``. The type of an attribute is that of most of
its values; each type has its own form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from nearfar_tables.cells import day_of, normal_text, number_of

__all__ = ["KINDS", "canonical", "kind_of", "left_out", "nested"]

TIME = re.compile(r"(?<![\d:])(\d{1,2}):(\d{2})(?::\d{2})?\s*([ap])?\.?\s*(?:m\b\.?)?(?![\d:])")
UNKNOWN = frozenset(("n/a", "na", "none", "null", "nil", "nan", "unknown", "-", "--", "?", "tbd"))
UNKNOWN_TO_SAY = re.compile(r"\bnot (available|applicable|known)\b|\bcontact airline\b")
PEOPLE_GLUE = re.compile(r"\s*(?:;|\band\b|&|\bwith\b|/)\s*")
TITLES = {
    "dr", "prof", "professor", "mr", "mrs", "ms", "jr", "sr", "phd", "md", "ed", "eds", "editor",
    "editors", "by", "et", "al",
}  # fmt: skip
SHORT = {
    "st": "street", "ave": "avenue", "av": "avenue", "rd": "road", "blvd": "boulevard",
    "blv": "boulevard", "dr": "drive", "ln": "lane", "pl": "place", "sq": "square", "ct": "court",
    "hwy": "highway", "pkwy": "parkway", "ter": "terrace", "cres": "crescent", "co": "company",
    "corp": "corporation", "inc": "incorporated", "ltd": "limited",
}  # fmt: skip
LETTERS = re.compile(r"[^\W\d_]+")
PEOPLE = re.compile(r"author|director|actor|cast|editor|writer|people|players|artist")


def kind_of(values: Iterable[str], name: str = "") -> str:
    """The type that most distinct values have: time, date, number, people or text.

    Args:
        values: normalised texts. name: of the attribute; people are known by it alone
            (authors, director, cast ...), for names look like any text.
    """
    distinct = [v for v in dict.fromkeys(values) if canonical(v, "text") is not None][:1000]
    if not distinct:
        return "text"
    for kind in ("time", "date", "number"):
        if sum(KINDS[kind](value) is not None for value in distinct) > 0.6 * len(distinct):
            return kind
    return "people" if PEOPLE.search(name.casefold()) else "text"


def canonical(value: object, kind: str) -> str | None:
    """The form of a value; None where it says that nothing is known, as ``n/a``."""
    text = normal_text(value)
    if not text or text in UNKNOWN or UNKNOWN_TO_SAY.search(text):
        return None
    return KINDS[kind](text) or KINDS["text"](text)


def left_out(value: object, kind: str) -> frozenset[str]:
    """Words of a text that its form does not hold and that may contradict another's."""
    text = normal_text(value)
    if kind == "number" and _number(text) is not None:
        return frozenset(LETTERS.findall(text))
    if kind == "date" and _date(text) is not None:
        return frozenset(filter(None, [_time(text)]))
    if kind == "time" and (found := TIME.search(text)) and _time(text) is not None:
        return frozenset(re.findall(r"[^\W_]+", f"{text[: found.start()]} {text[found.end() :]}"))
    if kind == "people":
        return frozenset(w for w in LETTERS.findall(text) if len(w) == 1 or w in ("jr", "sr"))
    return frozenset()


def nested(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether what two texts of one form say beside it can hold together: one says no more than
    the other, as ``1200`` beside ``1200 kg``."""
    return one <= other or other <= one


def _time(text: str) -> str | None:
    """The first clock time, by 24 hours; a date before it is dropped."""
    found = TIME.search(text)
    if not found or int(found[1]) > 24 or int(found[2]) > 59:
        return None
    hour = int(found[1])
    if found[3]:
        hour = hour % 12 + 12 * (found[3] == "p")
    return f"{hour % 24}:{found[2]}"


def _date(text: str) -> str | None:
    day = day_of(text)
    return None if day != day else f"{day:.0f}"


def _number(text: str) -> str | None:
    """With one word beside it, its unit: of ``77 hill st`` it is not all that is told."""
    number = number_of(text) if len(LETTERS.findall(text)) < 2 else float("nan")
    return None if number != number else f"{number:.10g}"


def _people(text: str) -> str | None:
    """All words of all names, sorted, initials and titles aside: order and commas do not count."""
    words = {
        word
        for name in PEOPLE_GLUE.split(text)
        for word in LETTERS.findall(name)
        if len(word) > 1 and word not in TITLES
    }
    return " ".join(sorted(words)) or None


def _text(text: str) -> str | None:
    words: Sequence[str] = re.findall(r"[^\W_]+", text)
    return " ".join(SHORT.get(word, word) for word in words) or text


KINDS: dict[str, Callable[[str], str | None]] = {
    "time": _time,
    "date": _date,
    "number": _number,
    "people": _people,
    "text": _text,
}
