"""One string that carries everything a clip means, and what a decoded string means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nearfar_kit.errors import UserError
from nearfar_speech.clip import Clip, Slots

__all__ = ["FILL", "SEP", "Target", "parse_target"]

SEP = "_SEP"
FILL = "_FILL"


@dataclass(frozen=True)
class Target:
    """Intent, slots and transcript, in the order in which they are decoded (Cappellazzo et al.
    2023, 2310.02699)::

        intent _SEP type _FILL filler _SEP type _FILL filler _SEP transcript

    Slots come in the order given. A part that is not there is left out with its ``_SEP``; the
    transcript is the one part without ``_FILL``. Blanks are single.
    """

    intent: str
    slots: Slots = ()
    transcript: str = ""

    @classmethod
    def of(cls, clip: Clip) -> Target:
        return cls(clip.intent, clip.slots, clip.transcript)

    @property
    def text(self) -> str:
        """The string.

        Raises:
            UserError: the intent, a type or a filler is empty, or a part holds a marker.
        """
        parts = [_words(self.intent, "intent")]
        for kind, filler in self.slots:
            parts.append(f"{_words(kind, 'slot type')} {FILL} {_words(filler, 'slot filler')}")
        if self.transcript.split():
            parts.append(_words(self.transcript, "transcript"))
        return f" {SEP} ".join(parts)


def parse_target(text: str) -> Target:
    """What a string means, as far as it means anything; never an error, for models decode anything.

    The intent is the text before the first ``_SEP`` [the author's rule]; what lies in it after a
    ``_FILL`` is dropped. A later part with ``_FILL`` is a slot, of which a nameless one is dropped
    and a second ``_FILL`` is a blank; parts without are the transcript, joined where there are
    several. A slot whose filler is empty stays, for its type was claimed.

    Example:
        >>> parse_target("lights_on _SEP room _FILL kitchen _SEP turn it on")
        Target(intent='lights_on', slots=(('room', 'kitchen'),), transcript='turn it on')
    """
    first, *rest = text.split(SEP)
    slots, words = [], []
    for part in rest:
        kind, marker, filler = part.partition(FILL)
        if not marker:
            words.append(kind)
        elif kind.split():
            slots.append((_single(kind), _single(filler.replace(FILL, " "))))
    return Target(_single(first.partition(FILL)[0]), tuple(slots), _single(" ".join(words)))


def _single(text: str) -> str:
    return " ".join(text.split())


def _words(text: str, what: str) -> str:
    """``text`` with single blanks, fit to stand between markers."""
    found = re.search(f"{SEP}|{FILL}", text)
    if found:
        raise UserError(f"{what} {text!r} holds {found[0]}, which marks where parts end")
    if not text.split():
        raise UserError(f"{what} is empty; expected a word")
    return _single(text)
