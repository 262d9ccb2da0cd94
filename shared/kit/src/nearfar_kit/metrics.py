"""``metrics.json``: the one file that every table and plot is made from."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError

__all__ = ["Metrics", "Record", "parse_split", "split_key", "versions_of"]

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """One number: ``value`` of ``metric`` for ``method`` on ``n`` samples of a split."""

    dataset: str
    split: str
    method: str
    seed: int
    metric: str
    value: float  # NaN where it could not be had; null in the file
    n: int


def split_key(**parts: object) -> str:
    """``device=torso,labels=0.1`` of the parts of a split, in the order given.

    Example:
        >>> split_key(device="wrist, left")
        'device=wrist%2C left'
    """
    return ",".join(f"{name}={_quoted(str(value))}" for name, value in parts.items())


def _quoted(text: str) -> str:
    return "".join(f"%{ord(c):02X}" if c in "%,=" else c for c in text)


def parse_split(split: str) -> dict[str, str]:
    """The parts that :func:`split_key` joined."""
    pairs = (part.split("=", 1) for part in split.split(",") if "=" in part)
    return {name: unquote(value) for name, value in pairs}


def versions_of(*packages: str) -> dict[str, str]:
    """Versions of Python, torch, nearfar, nearfar-kit and the packages named."""
    names = ("torch", "nearfar", "nearfar-kit", *packages)
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


@dataclass
class Metrics:
    """What a run measured. Make it when the run begins: it keeps the time."""

    domain: str
    verb: str
    versions: dict[str, str]
    device: str
    loss_path: str
    settings_hash: str
    records: list[Record] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    resumed: bool = False  # time and memory are those since then
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%d", time.gmtime()))
    began: float = field(default_factory=time.monotonic, repr=False)

    def add(self, records: Iterable[Record]) -> None:
        self.records.extend(records)

    def write(self, path: Path) -> None:
        """Writes the file, atomically, with the time and the peak of memory up to now."""
        self.seconds = round(time.monotonic() - self.began, 1)
        self.peak_memory_bytes = _peak_memory()
        content: dict[str, Any] = {"schema": SCHEMA} | asdict(self)
        del content["began"]
        order = (
            "schema", "domain", "verb", "date", "versions", "device", "loss_path", "seconds",
            "peak_memory_bytes", "resumed", "settings_hash",
        )  # fmt: skip
        head = json.dumps({key: content[key] for key in order}, indent=1).removesuffix("\n}")
        for record in content["records"]:
            if not math.isfinite(record["value"]):
                record["value"] = None
        # A record a line, so that a diff shows which number moved.
        lines = ",\n".join(f"  {json.dumps(record)}" for record in content["records"])
        write_atomic(path, f'{head},\n "records": [\n{lines}\n ]\n}}\n')

    @classmethod
    def read(cls, path: Path) -> Metrics:
        """What :meth:`write` wrote."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("schema") != SCHEMA:
                raise ValueError(f"schema is not {SCHEMA}")
            records = [
                Record(**r | {"value": math.nan if r["value"] is None else float(r["value"])})
                for r in content.pop("records")
            ]
            return cls(**content, records=records)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: is no metrics.json of schema {SCHEMA} ({error})") from None


def _peak_memory() -> int:
    """Bytes: the resident set's peak, its children's with it, or the GPU's where that is more."""
    unit = 1 if sys.platform == "darwin" else 1024
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = max(resource.getrusage(w).ru_maxrss for w in who) * unit
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        peak = max(peak, torch.cuda.max_memory_allocated())
    return int(peak)
