"""What SpeechBrain needs to be a good neighbour."""

from __future__ import annotations

import sys

from nearfar_kit.torchaudio_compat import ensure_torchaudio

__all__ = ["ensure_torchaudio", "quiet_redirects"]


def quiet_redirects() -> None:
    """Lets others walk over ``sys.modules`` once SpeechBrain is in it; to be called after it.

    SpeechBrain leaves modules of its old names there that import the new ones, optional packages
    and all, when anything is asked of them. Who asks every module for its file, as Hypothesis does,
    fails then; so the file is told beforehand to be none. The old names go on to work.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("speechbrain.") and "lazy_module" in vars(module):
            vars(module).setdefault("__file__", None)
