"""Samples from WAV and FLAC files of any rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from nearfar_kit.errors import UserError, first_line
from nearfar_speech.clip import FaultKind

__all__ = ["RATE", "Audio", "AudioFault", "inspect_audio", "read_audio", "resample"]

RATE = 16_000
_MAX_RATE = 1_000_000  # Hz; the resampling filter grows with it
_AT_FULL_SCALE = 0.9999
_RUN = 4  # samples in a row at full scale: one or two are a peak that fits exactly
_CLIPPED_SHARE = 1e-3
_UNKNOWN = 1 << 62  # frames: libsndfile tells about 2^63 where a FLAC header tells no length


class AudioFault(UserError):
    """A file whose samples cannot be had; ``kind`` says in a word why."""

    def __init__(self, kind: FaultKind, path: Path, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.kind, self.path, self.detail = kind, path, detail

    def __reduce__(self) -> tuple[type[AudioFault], tuple[FaultKind, Path, str]]:
        # Exceptions are rebuilt from their message by default; a worker process hands this back.
        return AudioFault, (self.kind, self.path, self.detail)


@dataclass(frozen=True)
class Audio:
    """Samples float32 [T], mono, within -1 to 1, at ``rate`` Hz; ``clipped``: cut at full scale."""

    samples: NDArray[np.float32]
    rate: int
    clipped: bool

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def read_audio(path: Path | str, rate: int = RATE, max_seconds: float | None = None) -> Audio:
    """A whole file: channels averaged, resampled to ``rate`` by a polyphase filter.

    Args:
        max_seconds: longer files are refused before they are decoded.

    Raises:
        AudioFault: the file is missing, no audio, truncated or corrupt, has no samples, a rate of
            0, samples that are not finite, or is too long.
    """
    path = Path(path)
    with _opened(path, max_seconds) as file:
        samples = _decoded(file, path)  # [frames, channels]
        own_rate = file.samplerate
    clipped = _is_clipped(samples)
    return Audio(resample(samples.mean(axis=1), own_rate, rate), rate, clipped)


def inspect_audio(
    path: Path | str, max_seconds: float | None = None, decode: bool = False
) -> tuple[float, bool]:
    """Length in seconds and whether it is clipped; without ``decode`` only the header is read.

    A header shows that a WAV file is cut short; a FLAC file's does not, nor any header that samples
    are damaged or clipped.

    Raises:
        AudioFault: as :func:`read_audio` raises.
    """
    path = Path(path)
    with _opened(path, max_seconds) as file:
        clipped = decode and _is_clipped(_decoded(file, path))
        return file.frames / file.samplerate, clipped


def resample(samples: NDArray[np.float32], rate: int, to: int) -> NDArray[np.float32]:
    """[T] at ``rate`` Hz to [ceil(T * to / rate)] at ``to`` Hz."""
    if rate <= 0 or to <= 0:
        raise ValueError(f"rates are {rate} and {to}; expected positive numbers of Hz")
    if rate != to:
        common = math.gcd(rate, to)
        samples = resample_poly(samples, to // common, rate // common)
    return np.ascontiguousarray(samples, dtype=np.float32)


@contextmanager
def _opened(path: Path, max_seconds: float | None) -> Iterator[Any]:
    """The open file, its header checked."""
    if not path.is_file():
        raise AudioFault("missing", path, "no such file; expected a WAV or FLAC file")
    if path.stat().st_size == 0:
        raise AudioFault("empty", path, "is empty (0 bytes); expected a WAV or FLAC file")
    try:
        rate, frames = _told(path)
        if rate == 0:  # the library refuses such a header without saying why
            raise AudioFault("unreadable", path, "its sampling rate is 0; expected a positive one")
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, OSError) as error:
        detail = f"not readable as audio ({_reason(error)}); expected a WAV or FLAC file"
        raise AudioFault("unreadable", path, detail) from None
    with file:
        if not 0 < file.samplerate <= _MAX_RATE:
            detail = f"its sampling rate is {file.samplerate} Hz; expected 1 to {_MAX_RATE}"
            raise AudioFault("unreadable", path, detail)
        if file.frames == 0:
            raise AudioFault("empty", path, "holds no samples; expected speech")
        if file.frames >= _UNKNOWN:  # the library cannot read to the end of such a file
            detail = "its header tells no length, as a stream's; expected a file written whole"
            raise AudioFault("unreadable", path, detail)
        if file.frames < frames:
            raise _truncated(path, file.frames, frames)
        seconds = file.frames / file.samplerate
        if max_seconds is not None and seconds > max_seconds:
            detail = f"lasts {seconds:.1f} s; expected at most {max_seconds:g} s"
            raise AudioFault("too long", path, detail)
        yield file


def _decoded(file: Any, path: Path) -> NDArray[np.float32]:
    """All samples float32 [frames, channels]."""
    told = file.frames
    try:
        samples: NDArray[np.float32] = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, MemoryError) as error:
        detail = f"truncated or corrupt ({_reason(error)}); expected {told} samples"
        raise AudioFault("unreadable", path, detail) from None
    if len(samples) < told:
        raise _truncated(path, len(samples), told)
    if not np.isfinite(samples).all():
        raise AudioFault("unreadable", path, "holds samples that are not finite numbers")
    return samples


def _truncated(path: Path, samples: int, told: int) -> AudioFault:
    return AudioFault("unreadable", path, f"truncated: {samples} samples; its header tells {told}")


def _is_clipped(samples: NDArray[np.float32]) -> bool:
    """Whether more than a thousandth of [frames, channels] lies in runs at full scale."""
    full = (np.abs(samples) >= _AT_FULL_SCALE).astype(np.int64)
    if len(full) < _RUN:
        return False
    summed = np.concatenate([np.zeros((1, full.shape[1]), np.int64), full.cumsum(axis=0)])
    runs = (summed[_RUN:] - summed[:-_RUN] == _RUN).sum(axis=0)
    return bool(runs.max() > _CLIPPED_SHARE * len(full))


def _told(path: Path) -> tuple[int | None, int]:
    """What a header tells: the rate, None where there is none to be found; and the frames that a
    WAV file promises, which libsndfile cuts to what is there, 0 where not known."""
    with path.open("rb") as file:
        head = file.read(21)
        if head[:4] == b"fLaC" and len(head) == 21:
            return int.from_bytes(head[18:21], "big") >> 4, 0  # 20 bits
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return None, 0
        file.seek(12)
        chunks = _wav_chunks(file)
    _, form = chunks.get(b"fmt ", (0, b""))
    size, _ = chunks.get(b"data", (0, b""))
    rate = int.from_bytes(form[4:8], "little") if len(form) >= 8 else None
    if len(form) < 14 or size >= 0x7FFFFFFF:
        return rate, 0  # sizes at the limit are what streaming writers put
    block = int.from_bytes(form[12:14], "little")
    plain = int.from_bytes(form[:2], "little") in (1, 3)  # else frames are packed in blocks
    return rate, size // block if plain and block else 0


def _wav_chunks(file: BinaryIO) -> dict[bytes, tuple[int, bytes]]:
    """The sizes that the form's and the samples' headers tell, and the first 16 bytes of each."""
    chunks: dict[bytes, tuple[int, bytes]] = {}
    while len(chunks) < 2 and len(head := file.read(8)) == 8:
        name, size = head[:4], int.from_bytes(head[4:], "little")
        start = file.tell()
        if name in (b"fmt ", b"data"):
            chunks.setdefault(name, (size, file.read(16)))
        file.seek(start + size + size % 2)
    return chunks


def _reason(error: BaseException) -> str:
    text = first_line(error)
    return text.rsplit(": ", 1)[-1].rstrip(".")
