"""What a part of the comparison is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfar_tables.settings import TablesSettings

__all__ = ["Ask"]


@dataclass(frozen=True)
class Ask:
    """What to measure, and how.

    Attributes:
        root: folder of the data. folder: for what jobs leave.
        methods: None: all. seeds: how many. dataset: of matching, None: all.
        rows: of the part ``scale``.
    """

    root: Path
    folder: Path
    settings: TablesSettings
    methods: Sequence[str] | None = None
    seeds: int = 5
    dataset: str | None = None
    rows: int = 1_000_000
    processes: int = 1
    quiet: bool = True
