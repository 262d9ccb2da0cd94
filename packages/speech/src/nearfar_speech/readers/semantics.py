"""Intents and slots out of the forms that manifests write them in."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_speech.clip import Slots

__all__ = ["Meaning", "intent_word", "parse_semantics", "parse_slots"]


@dataclass(frozen=True)
class Meaning:
    """What a semantics field tells; "" where it tells nothing."""

    intent: str = ""
    slots: Slots = ()
    scenario: str = ""


def intent_word(*parts: str) -> str:
    """One word of the parts of an intent.

    Example:
        >>> intent_word("increase", "heat", "living room")
        'increase_heat_living_room'
    """
    return "_".join("_".join(part.split()) for part in parts if part.split())


def parse_slots(value: Any, where: str) -> Slots:
    """(type, filler) pairs of a mapping, a list of pairs or of {"type", "filler"}, or a text of
    such, or of ``size=large|roast=dark``. Empty fillers are left out.

    Raises:
        UserError: the value is none of these.

    Example:
        >>> parse_slots("size=large|roast=dark roast", "row 1")
        (('size', 'large'), ('roast', 'dark roast'))
    """
    if value is None:
        return ()
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return ()
        value = _value(text, where, "slots") if text[0] in "[{(" else _assigned(text, where)
    if isinstance(value, dict):
        value = list(value.items())
    if not isinstance(value, list | tuple):
        raise UserError(f"{where}: slots are a {type(value).__name__}; expected pairs")
    return tuple(pair for item in value for pair in _pairs(item, where))


def parse_semantics(value: Any, where: str) -> Meaning:
    """SpeechBrain's semantics: a dictionary, or its text with ``|`` for commas (it is a Python
    literal, not JSON). SLURP's scenario, action and entities, Timers and Such's intent and slots,
    Fluent Speech Commands' action, object and location.

    Raises:
        UserError: the text is no literal, or the value no dictionary of these.

    Example:
        >>> parse_semantics("{'scenario': 'alarm'| 'action': 'query'| 'entities': []}", "row 1")
        Meaning(intent='alarm_query', slots=(), scenario='alarm')
    """
    if isinstance(value, str):
        # SpeechBrain's Fluent recipe writes {"action:" "increase"| ...}: its colon is misplaced.
        text = value.strip().replace('"action:" ', '"action": ')
        if not text:
            return Meaning()
        value = _value(text, where, "semantics", bars=True)
    if not isinstance(value, dict):
        raise UserError(f"{where}: semantics are a {type(value).__name__}; expected a dictionary")

    def part(name: str) -> str:
        text = value.get(name, "")
        if not isinstance(text, str):
            raise UserError(f"{where}: {name} in semantics is {text!r}; expected text")
        return text

    scenario = intent_word(part("scenario"))
    names = ("intent",) if "intent" in value else ("scenario", "action", "object", "location")
    slots = parse_slots(value.get("entities", value.get("slots")), where)
    return Meaning(intent_word(*map(part, names)), slots, scenario)


def _value(text: str, where: str, name: str, bars: bool = False) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        pass
    for form in (text, text.replace("|", ",")) if bars else (text,):
        try:
            return ast.literal_eval(form)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        except TypeError:  # a list as a key
            continue
    raise UserError(f"{where}: {name} are {text[:60]!r}; expected JSON or a Python literal")


def _assigned(text: str, where: str) -> list[tuple[str, str]]:
    pairs = []
    for item in filter(str.strip, text.split("|")):
        name, equals, filler = item.partition("=")
        if not equals:
            raise UserError(f"{where}: slots have {item!r}; expected JSON or type=filler|type=...")
        pairs.append((name, filler))
    return pairs


def _pairs(item: Any, where: str) -> Slots:
    """A slot; several where one type has a list of fillers."""
    if isinstance(item, dict) and {"type", "filler"} <= item.keys():
        item = (item["type"], item["filler"])
    if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], str):
        raise UserError(f"{where}: a slot is {item!r}; expected a type and a filler")
    kind = " ".join(item[0].split())
    fillers = item[1] if isinstance(item[1], list) else [item[1]]
    if not kind or any(isinstance(f, dict | list | tuple | set) for f in fillers):
        raise UserError(f"{where}: a slot is {item!r}; expected a type and a filler")
    texts = [" ".join(str(f).split()) for f in fillers if f is not None]
    return tuple((kind, text) for text in texts if text)
