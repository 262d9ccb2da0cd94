"""torchaudio beside a build of torch that its extension does not fit.

The published torchaudio is built for CUDA; beside a CPU build of torch its extension misses a CUDA
library and the whole import fails, and that of SpeechBrain or of many of transformers' models with
it. Forced alignment, room impulse responses and the C++ CTC alone need the extension.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["ensure_torchaudio"]


def ensure_torchaudio() -> None:
    """Makes ``import torchaudio`` work; changes nothing where it works already.

    To be called before what imports it.

    Raises:
        ImportError: torchaudio is not installed.
        OSError: it does not import without its extension either.
    """
    try:
        import torchaudio
    except OSError:
        _forget_torchaudio()
        sys.modules["torchaudio._extension"] = _without_extension()
        try:
            import torchaudio  # noqa: F401
        except BaseException:
            _forget_torchaudio()  # half a module would mislead the next import
            raise


def _forget_torchaudio() -> None:
    for name in [n for n in sys.modules if n.split(".")[0] == "torchaudio"]:
        del sys.modules[name]


def _without_extension() -> ModuleType:
    """What torchaudio itself makes of an extension that is not compiled in."""
    stub: Any = ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stub._IS_ALIGN_AVAILABLE = False
    stub._IS_RIR_AVAILABLE = False
    stub._check_cuda_version = lambda: None
    stub.fail_if_no_align = _needs_the_extension
    module: ModuleType = stub
    return module


def _needs_the_extension(function: Callable[..., Any]) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension")

    return fail
