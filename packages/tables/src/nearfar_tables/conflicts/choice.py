"""The judge that a command line asks for."""

from __future__ import annotations

import os
from pathlib import Path

from nearfar_kit.errors import UserError
from nearfar_tables.conflicts.neighbours import NeighbourJudge
from nearfar_tables.conflicts.question import Judge

__all__ = ["judge_of"]


def judge_of(
    judge: str,
    *,
    model: str | None = None,
    key_env: str | None = None,
    cache: Path | None = None,
    budget: int | None = None,
) -> Judge:
    """``neighbours``, a server by its URL, or a local model by its folder or GGUF file.

    Raises:
        UserError: a server without a model, a key that is not there, no model in the folder.
    """
    if judge == "neighbours":
        return NeighbourJudge()
    if judge.startswith(("http://", "https://")):
        from nearfar_tables.conflicts.server import ServerJudge

        if model is None:
            raise UserError(
                f"--judge {judge}: a server needs --server-model, the name of its model"
            )
        if key_env is not None and key_env not in os.environ:
            raise UserError(f"--key-env {key_env}: no such variable; expected one with the key")
        key = os.environ[key_env] if key_env is not None else None
        return ServerJudge(judge, model, api_key=key, cache=cache, budget=budget)
    if Path(judge).exists():
        from nearfar_tables.conflicts.local import LocalJudge

        return LocalJudge(Path(judge))
    raise UserError(
        f"--judge {judge}: expected neighbours, the URL of a server (http://host/v1), or the "
        "folder of a model"
    )
