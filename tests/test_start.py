"""How soon a command answers: what it brings along, which is what takes the time."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {
    "torch", "sklearn", "scipy", "matplotlib", "pandas", "polars", "monai", "speechbrain",
    "recbole", "duckdb", "pyarrow", "transformers", "lightning_fabric",
}  # fmt: skip


def brought_by(statement: str) -> set[str]:
    """Top-level modules of a fresh process after a statement."""
    script = f"{statement}\nimport sys\nprint('modules', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_the_core_brings_nothing_but_torch():
    more = brought_by("import nearfar") - brought_by("import torch")
    assert "nearfar" in more
    assert more <= {"nearfar", "triton"}


def test_the_list_of_domains_brings_nothing_heavy():
    run = "app(['list'], standalone_mode=False)"
    brought = brought_by(f"from nearfar_kit.umbrella import app; {run}")
    assert {"nearfar_har", "typer"} <= brought
    assert not brought & HEAVY
