"""One conflict as a question: what is known, the candidates, and examples from the same table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Protocol

from nearfar_tables.cells import normal_text

__all__ = ["Answer", "Estimate", "Example", "Judge", "Question", "candidate_of", "estimate"]

LONGEST = 200  # characters of a value that a prompt shows
ALIKE = 0.8  # from this ratio of equal characters on, an answer means a candidate


@dataclass(frozen=True)
class Example:
    """A thing of the table whose value is not in doubt.

    Attributes:
        known: its other attributes. value: of the attribute asked for. weight: how much it has in
            common with the thing in question, 0 to 1.
    """

    known: dict[str, str]
    value: str
    weight: float


@dataclass(frozen=True)
class Question:
    """Which of the candidates an attribute of a thing is (Ji et al. 2024, 2412.00324).

    Attributes:
        known: what is known of the thing, by attribute. attribute: what is asked for.
        candidates: at least two. examples: the most alike first.
    """

    known: dict[str, str]
    attribute: str
    candidates: tuple[str, ...]
    examples: tuple[Example, ...] = ()

    def prompt(self) -> str:
        """The paper's template; the most alike example stands next to the question."""
        lines = ["Given the following examples, predict the correct value."]
        for number, example in enumerate(reversed(self.examples), 1):
            lines.append(
                f"Example {number}: If {_told(example.known)}, then the value of attribute "
                f"'{self.attribute}' should be '{_short(example.value)}'."
            )
        listed = ", ".join(f"'{_short(value)}'" for value in self.candidates)
        lines.append(
            f"Question: If {_told(self.known)}, what should the value of attribute "
            f"'{self.attribute}' be? Candidates: {listed}."
        )
        return "\n".join([*lines, "Answer:"])


@dataclass(frozen=True)
class Answer:
    """What a judge says: the number of a candidate, or None where it abstains.

    Attributes:
        why: ``answered``, or the reason for abstaining. confidence: 0 to 1.
    """

    candidate: int | None
    confidence: float = 0.0
    why: str = "answered"


class Judge(Protocol):
    """Answers questions, in their order."""

    @property
    def name(self) -> str:
        """What provenance calls it."""

    def __call__(self, questions: Sequence[Question]) -> list[Answer]: ...


@dataclass(frozen=True)
class Estimate:
    """What asking would take: prompts, their characters, and tokens by four characters each."""

    prompts: int
    characters: int
    tokens: int


def estimate(questions: Sequence[Question]) -> Estimate:
    """Before anything is asked, or paid for."""
    characters = sum(len(question.prompt()) for question in questions)
    return Estimate(len(questions), characters, tokens_of(characters))


def tokens_of(characters: int) -> int:
    return -(-characters // 4)


def candidate_of(text: str, candidates: Sequence[str]) -> int | None:
    """The candidate that a free answer means; None where it means none, or more than one."""
    said = normal_text(text).strip(" .")
    forms = [normal_text(value).strip(" .") for value in candidates]
    if said in forms:
        return forms.index(said)
    # The longest of those named: "New York City" names "New York" too.
    named = [n for n, form in enumerate(forms) if form and form in said]
    named = [n for n in named if not any(forms[n] in forms[m] and n != m for m in named)]
    if named:
        return named[0] if len(named) == 1 else None
    ratios = [SequenceMatcher(None, said, form).ratio() for form in forms]
    best = max(range(len(forms)), key=ratios.__getitem__)
    return best if ratios[best] >= ALIKE else None


def _told(known: dict[str, str]) -> str:
    if not known:
        return "nothing else is known"
    return ", ".join(f"the attribute '{name}' is '{_short(v)}'" for name, v in known.items())


def _short(value: str) -> str:
    """One line without quotes: a cell cannot end its place in the prompt."""
    text = " ".join(value.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}").split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
