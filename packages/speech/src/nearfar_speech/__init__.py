"""COCONUT: spoken language understanding that learns new intents without forgetting.

>>> from nearfar_speech import Target
>>> Target("lights_on", (("room", "kitchen"),), "turn the kitchen lights on").text
'lights_on _SEP room _FILL kitchen _SEP turn the kitchen lights on'
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Clip": "clip",
    "ClipSet": "clip",
    "Curriculum": "tasks",
    "Fault": "clip",
    "RehearsalBuffer": "rehearsal",
    "SpeechSettings": "settings",
    "Target": "targets",
    "TaskAccuracy": "measures",
    "Tokens": "tokens",
    "ensure_torchaudio": "compat",
    "find_clips": "readers",
    "make_curriculum": "tasks",
    "parse_target": "targets",
    "read_audio": "audio",
    "slu_f1": "measures",
    "word_error_rate": "measures",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    # Found when asked for: torch and SpeechBrain take seconds, and --help needs neither.
    if name in _HOMES:
        return getattr(import_module(f"nearfar_speech.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'nearfar_speech' has no attribute {name!r}")
