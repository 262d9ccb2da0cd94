"""The methods of the comparison: how each departs from the settings it is run with."""

from __future__ import annotations

from dataclasses import dataclass, field

from nearfar_speech.settings import SpeechSettings
from nearfar_speech.tasks import Curriculum

__all__ = ["BASELINE", "METHODS", "Method"]

BASELINE = "ER iCaRL"  # what gains are measured over: the same buffer, nothing else


@dataclass(frozen=True)
class Method:
    """Settings that differ, and whether all tasks are learnt at once (the upper bound)."""

    settings: dict[str, object] = field(default_factory=dict)
    at_once: bool = False

    def apply(self, settings: SpeechSettings) -> SpeechSettings:
        return SpeechSettings(**settings.model_dump() | self.settings)

    def curriculum(self, curriculum: Curriculum) -> Curriculum:
        return Curriculum(curriculum.by, (curriculum.classes,)) if self.at_once else curriculum


_PLAIN: dict[str, object] = {"mm": 0.0, "nspt": 0.0, "scr": 0.0, "distil": "none"}


def _plain(**more: object) -> Method:
    """Spelling alone, with what is told beside it."""
    return Method(_PLAIN | more)


def _coconut(**more: object) -> Method:
    """As the settings have it, with what is told changed."""
    return Method({"scr": 0.0, "distil": "none"} | more)


METHODS = {
    "offline": Method(_PLAIN | {"memory": 0.0}, at_once=True),
    "fine-tune": _plain(memory=0.0),
    "ER random": _plain(selection="random"),
    "ER iCaRL": _plain(selection="herding"),
    "audio-KD": _plain(distil="audio"),
    "token-KD": _plain(distil="token"),
    "S-KD": _plain(distil="sequence"),
    "SCR": _plain(scr=0.1),
    "ER + MM": _coconut(nspt=0.0),
    "ER + SCL": _coconut(mm=0.0, design="scl"),
    "ER + NTPT": _coconut(mm=0.0, design="ntpt"),
    "ER + NSPT": _coconut(mm=0.0),
    "COCONUT": _coconut(),
    "COCONUT, MM by class": _coconut(mm_positives="class"),
    "COCONUT, MM on all": _coconut(mm_on="all"),
    "COCONUT, head from task 2": _coconut(first_contrast=False),
    "COCONUT + S-KD": _coconut(distil="sequence"),
}
