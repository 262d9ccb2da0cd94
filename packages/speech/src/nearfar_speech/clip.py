"""What every reader returns: clips with their labels, and the faults found among them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Clip", "ClipSet", "Fault", "FaultKind", "Slots"]

Slots = tuple[tuple[str, str], ...]
FaultKind = Literal[
    "missing", "unreadable", "empty", "too long", "target too long", "clipped", "no transcript",
    "not in the labels",
]  # fmt: skip
_LIMITS = {"too long": "max_seconds", "target too long": "max_characters"}  # by which setting


@dataclass(frozen=True)
class Clip:
    """One utterance.

    Attributes:
        path: its audio.
        intent: the class, one word.
        slots: (type, filler) pairs in the order of the data; a type may occur twice.
        transcript: the words; "" where not known.
        speaker: "" where not known.
        split: train, valid, test, or "" where the data set has no splits.
        scenario: the group of the intent; "" where there is none.
        seconds: length; NaN where the audio was not looked at.
    """

    path: Path
    intent: str
    slots: Slots = ()
    transcript: str = ""
    speaker: str = ""
    split: str = ""
    scenario: str = ""
    # Two NaN differ, and with them would two clips that are one.
    seconds: float = field(default=float("nan"), compare=False)


@dataclass(frozen=True)
class Fault:
    """Something wrong with one clip; ``drops`` where the clip is left out because of it."""

    kind: FaultKind
    path: Path
    detail: str

    @property
    def drops(self) -> bool:
        return self.kind in ("missing", "unreadable", "empty", *_LIMITS)


@dataclass(frozen=True)
class ClipSet:
    """The usable clips of a data set, every fault by name, and what a whole set would have.

    Attributes:
        missing: files and folders of the layout that are not there.
    """

    name: str
    clips: tuple[Clip, ...]
    faults: tuple[Fault, ...] = ()
    missing: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.clips)

    def of(self, split: str) -> tuple[Clip, ...]:
        """The clips of one split."""
        return tuple(clip for clip in self.clips if clip.split == split)

    def fault_counts(self) -> dict[str, int]:
        """How many clips have each kind of fault."""
        return dict(Counter(fault.kind for fault in self.faults))

    def summary(self, names: int = 3) -> str:
        """A line of counts, what is not there, and :meth:`told` of the faults.

        Example:
            >>> clips = (Clip(Path("b.wav"), "on", speaker="anna"),)
            >>> faults = (Fault("empty", Path("a.wav"), "no samples"),)
            >>> print(ClipSet("mine", clips, faults).summary())
            mine: 1 clips, 1 intents, 1 speakers
            empty: 1 left out (a.wav)
        """
        intents = len({clip.intent for clip in self.clips})
        speakers = len({clip.speaker for clip in self.clips} - {""})
        lines = [f"{self.name}: {len(self.clips)} clips, {intents} intents, {speakers} speakers"]
        if self.missing:
            lines.append(f"not there: {', '.join(self.missing)}")
        return "\n".join([*lines, *self.told(names)])

    def told(self, names: int = 3, *, dropped: bool = False) -> list[str]:
        """A line for each kind of fault, with the first ``names`` of its files, and the setting
        that left them out where one did.

        Args:
            dropped: only of clips that are left out.
        """
        lines = []
        for kind, count in self.fault_counts().items():
            own = [fault for fault in self.faults if fault.kind == kind]
            if dropped and not own[0].drops:
                continue
            what = "left out" if own[0].drops else "kept"
            paths = ", ".join(str(fault.path) for fault in own[:names])
            line = f"{kind}: {count} {what} ({paths}{', ...' if count > names else ''})"
            if kind in _LIMITS:
                line += f"; the first {own[0].detail} (setting {_LIMITS[kind]})"
            lines.append(line)
        return lines
