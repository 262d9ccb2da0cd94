"""COCONUT: spoken language understanding that learns new intents without forgetting.

>>> from nearfar_speech import Target
>>> Target("lights_on", (("room", "kitchen"),), "turn the kitchen lights on").text
'lights_on _SEP room _FILL kitchen _SEP turn the kitchen lights on'
"""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

__version__ = "0.1.0"

_HOMES = {
    "Clip": "clip",
    "ClipSet": "clip",
    "Curriculum": "tasks",
    "Fault": "clip",
    "RehearsalBuffer": "rehearsal",
    "SpeechSettings": "settings",
    "SpokenLanguageUnderstanding": "estimator",
    "Target": "targets",
    "TaskAccuracy": "measures",
    "Tokens": "tokens",
    "ensure_torchaudio": "compat",
    "find_clips": "readers",
    "load_model": "weights",
    "make_curriculum": "tasks",
    "parse_target": "targets",
    "read_audio": "audio",
    "save_model": "weights",
    "slu_f1": "measures",
    "word_error_rate": "measures",
}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
