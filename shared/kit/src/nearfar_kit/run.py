"""The run folder: what every training, benchmark and demo leaves.

``settings.yaml``, ``metrics.json``, ``log.jsonl``, ``checkpoint/``, ``report.html`` and plots.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import yaml

from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.settings import NO_YAML, Settings, as_yaml, in_short
from nearfar_kit.text_files import read_text

__all__ = ["RunFolder", "model_of", "refuse_begun", "take_back"]

BEGINNING = {"settings.yaml", "log.jsonl"}  # what a run has before it has done anything


class RunFolder:
    """A folder for one run.

    A folder that already holds a run is refused without ``resume``, so that nothing is lost; with
    it, its settings must be those of this run; None: the command has no ``--resume``. Of several
    processes (torchrun) the first alone checks and writes.

    Attributes:
        writes: whether this process is the one that writes.
        resumed: whether a run was begun here before.

    Raises:
        UserError: the path is a file or cannot be written; a run is there and ``resume`` is not
            asked; the settings differ (the keys are named).
    """

    def __init__(self, out: Path, settings: Settings, *, resume: bool | None = None) -> None:
        self.path = out
        self.writes = os.environ.get("RANK", "0") == "0"
        self.resumed = (out / "settings.yaml").exists()
        if not self.writes:
            return
        try:
            out.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"--out {out}: is a file; expected a folder") from None
        except OSError as error:
            raise UserError(f"--out {out}: cannot be made ({error.strerror})") from None
        kept = out / "settings.yaml"
        refuse_begun(out, resume)
        if kept.exists():
            self._check_settings(kept, settings)
        write_atomic(kept, as_yaml(settings))
        (_resumed if self.resumed else _begun).append(out)

    def _check_settings(self, kept: Path, settings: Settings) -> None:
        try:
            before = yaml.safe_load(read_text(kept, "settings"))
        except NO_YAML as error:
            raise UserError(f"{kept}: cannot be read ({error})") from None
        now = yaml.safe_load(as_yaml(settings))
        if not isinstance(before, dict):
            raise UserError(f"{kept}: holds no settings; expected those of the run to resume")
        differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if differing:
            told = ", ".join(
                f"{k} was {in_short(before.get(k))}, is {in_short(now.get(k))}" for k in differing
            )
            raise UserError(f"--resume: other settings than {self.path} was begun with: {told}")

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def checkpoint(self) -> Path:
        """The folder of checkpoints."""
        folder = self.path / "checkpoint"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, event: str, **fields: object) -> None:
        """Appends one line to ``log.jsonl``."""
        if not self.writes:
            return
        line = json.dumps({"time": round(time.time(), 3), "event": event, **fields})
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def refuse_begun(out: Path, resume: bool | None) -> None:
    """Refuses a folder that holds a run, unless it is resumed; None: there is no ``--resume``.

    The run folder does so itself; a command that reads long before it has one asks first.

    Raises:
        UserError: a run is there.
    """
    # Of several processes the first may have begun the run by now.
    if not resume and os.environ.get("RANK", "0") == "0" and (out / "settings.yaml").exists():
        hint = "" if resume is None else ", or --resume"
        raise UserError(f"--out {out}: holds a run; expected a new folder{hint}")


_begun: list[Path] = []  # by this process
_resumed: list[Path] = []


def take_back() -> bool:
    """Removes what this process began and has done nothing in, so that a command which was wrong
    can be given again, put right; what is done stays, to be resumed.

    Returns:
        Whether anything stays.
    """
    stays = bool(_resumed)
    _resumed.clear()
    while _begun:
        out = _begun.pop()
        if not out.is_dir():
            continue
        files = [path for path in out.rglob("*") if not path.is_dir()]
        if {str(file.relative_to(out)) for file in files} <= BEGINNING:
            for file in files:
                file.unlink()
            for folder in sorted((p for p in out.rglob("*") if p.is_dir()), reverse=True):
                folder.rmdir()
            if not out.is_symlink():
                out.rmdir()
        else:
            stays = True
    return stays


def model_of(run: Path) -> Path:
    """Where ``train`` left its model in a run folder; a file is taken for a model itself.

    Raises:
        UserError: there is none.
    """
    if run.is_file():
        return run
    file = run / "checkpoint" / "model.safetensors"
    if not file.exists():
        if (run / "settings.yaml").exists() and not (run / "metrics.json").exists():
            raise UserError(f"{run}: holds no trained model yet; its command goes on by --resume")
        raise UserError(f"{run}: holds no trained model; expected a run folder of train")
    return file
