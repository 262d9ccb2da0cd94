"""Whose volumes a model has seen, so that no score is taken for one on new volumes.

Volumes are known again by names alone, of the case or of its subject: a renamed one is not, and
one of another data set that is called the same is taken for it. A model is given away, and names
may be patients': it keeps digests, by which one who has a name can ask for it and nobody reads one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearfar_kit.checkpoint import check_kinds
from nearfar_kit.digests import digest
from nearfar_medical.cases import Case

__all__ = ["Overlap", "Seen", "overlap"]

Names = frozenset[tuple[str, str]]  # digests of case and subject

# In the order in which a volume that is in several counts: by the most it has told.
KINDS = {
    "labelled": "with labels",
    "validation": "to choose the weights",
    "images": "in pre-training, without labels",
}


@dataclass(frozen=True)
class Seen:
    """Digests of the names of what a model was trained on.

    Attributes:
        labelled: volumes whose labels were learned from.
        validation: volumes whose labels chose the weights.
        images: volumes of pre-training, without labels.
        whole: False where it began with weights of which this is not known.
    """

    labelled: Names = frozenset()
    validation: Names = frozenset()
    images: Names = frozenset()
    whole: bool = True

    @classmethod
    def of(
        cls,
        labelled: Iterable[Case] = (),
        validation: Iterable[Case] = (),
        images: Iterable[Case] = (),
    ) -> Seen:
        """Cases, by their names."""
        one, two, three = (frozenset(map(_names, part)) for part in (labelled, validation, images))
        return cls(one, two, three)

    def after(self, before: Seen | None) -> Seen:
        """With what the weights had seen that it began with; None: that is not known."""
        if before is None:
            return Seen(self.labelled, self.validation, self.images, whole=False)
        return Seen(
            self.labelled | before.labelled,
            self.validation | before.validation,
            self.images | before.images,
            whole=self.whole and before.whole,
        )

    def state(self) -> dict[str, Any]:
        """For a checkpoint; :meth:`from_state` reads it."""
        parts = {kind: [list(pair) for pair in sorted(getattr(self, kind))] for kind in KINDS}
        return {**parts, "whole": self.whole}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Seen:
        check_kinds(state, **dict.fromkeys(KINDS, (list, tuple)), whole=bool)
        one, two, three = (
            frozenset((str(case), str(subject)) for case, subject in state[kind]) for kind in KINDS
        )
        return cls(one, two, three, whole=bool(state["whole"]))


@dataclass(frozen=True)
class Overlap:
    """How many of some volumes a model was trained on.

    Attributes:
        total: volumes.
        seen: kind of :class:`Seen` -> volumes, each counted once; those of none are left out.
        known: whether the model tells what it was trained on.
        whole: whether that holds for the weights it began with, too.
    """

    total: int
    seen: dict[str, int]
    known: bool = True
    whole: bool = True

    def note(self) -> str | None:
        """A line of what speaks against these volumes as new ones; None: nothing does."""
        if not self.known:
            return f"it is not known which of these {self.total} volumes were trained on"
        told = []
        if number := sum(self.seen.values()):
            how = ", ".join(f"{n} {KINDS[kind]}" for kind, n in self.seen.items())
            told.append(f"{number} of these {self.total} volumes were trained on ({how})")
        if not self.whole:
            told.append("it is not known which were trained on by the weights it began with")
        return "; ".join(told) or None

    def in_short(self) -> str:
        """For the caption of a table."""
        number = sum(self.seen.values())
        if not number:
            return ""
        alone = set(self.seen) == {"images"}
        return f", {number} of them {'seen in pre-training' if alone else 'trained on'}"


def overlap(seen: Seen | None, cases: Sequence[Case]) -> Overlap:
    """Which of ``cases`` are among ``seen``, by their own name or their subject's.

    Args:
        seen: None: of a model that does not tell, as those of before this was kept.
    """
    if seen is None:
        return Overlap(len(cases), {}, known=False)
    counts = dict.fromkeys(KINDS, 0)
    for own, whose in map(_names, cases):
        for kind in KINDS:
            pairs: Names = getattr(seen, kind)
            if any(own == name or whose == subject for name, subject in pairs):
                counts[kind] += 1
                break
    return Overlap(len(cases), {k: n for k, n in counts.items() if n}, whole=seen.whole)


def _names(case: Case) -> tuple[str, str]:
    return digest(case.name), digest(case.subject)
