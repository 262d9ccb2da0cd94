"""Picovoice's coffee orders: ``label.json`` beside ``clean/``; no speakers, no transcripts."""

from __future__ import annotations

from pathlib import Path

from nearfar_kit.errors import UserError
from nearfar_kit.json_files import read_json
from nearfar_kit.paths import inside
from nearfar_speech.clip import Clip, ClipSet, Fault
from nearfar_speech.readers.rows import text_of
from nearfar_speech.readers.semantics import intent_word, parse_slots

__all__ = ["is_barista", "read_barista"]


def is_barista(path: Path) -> bool:
    return (path / "label.json").is_file() and (path / "clean").is_dir()


def read_barista(path: Path, by: str = "coffeeDrink") -> ClipSet:
    """Clips whose intent is ``orderDrink_`` and the drink, in one word; the other slots stay slots.

    Every order has one intent, so the value of one slot makes the classes. Orders without that
    slot keep the bare intent.

    Args:
        by: the slot that makes the classes.

    Raises:
        UserError: label.json has another form, or no order has the slot ``by``.
    """
    labels = read_json(path / "label.json")
    if not isinstance(labels, dict):
        raise UserError(f"{path / 'label.json'}: is no object; expected name: intent and slots")
    audio = {
        file.stem: file
        for suffix in ("wav", "flac")
        for file in (path / "clean").glob(f"*.{suffix}")
    }
    clips, types = [], set()
    for name, row in labels.items():
        where = f"{path / 'label.json'}, {name}"
        if not isinstance(row, dict):
            raise UserError(f"{where}: is a {type(row).__name__}; expected intent and slots")
        order = intent_word(text_of(row, "intent", where))
        slots = parse_slots(row.get("slots", {}), where)
        types |= {kind for kind, _ in slots}
        kinds = [filler for kind, filler in slots if kind == by]
        rest = tuple(slot for slot in slots if slot[0] != by)
        place = audio.get(name) or inside(path / "clean", f"{name}.wav", where)
        clips.append(Clip(place, intent_word(order, *kinds[:1]), rest, scenario=order))
    if by not in types:
        raise UserError(f"{path}: no order has a slot {by!r}; expected one of {sorted(types)}")
    faults = [
        Fault("not in the labels", audio[name], "label.json has no such name")
        for name in sorted(audio.keys() - labels.keys())
    ]
    return ClipSet("barista", tuple(clips), tuple(faults))
