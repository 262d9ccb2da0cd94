"""The README's command lines, word for word, in order, on what ``simulate`` writes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOMAINS = ("bundle", "dna", "har", "medical", "seqrec", "speech", "tables")


def commands(domain):
    """Command lines of code blocks."""
    parts = re.split(r"^```.*$", README, flags=re.MULTILINE)
    lines = [line for block in parts[1::2] for line in block.splitlines()]
    return [line for line in lines if line.startswith(f"nearfar {domain} ")]


def nearfar(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "nearfar_kit.umbrella", *arguments],
        cwd=cwd, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("domain", DOMAINS)
def test_simulate_writes_the_same_files_again(domain, tmp_path):
    line = next(line for line in commands(domain) if " simulate" in line)
    _, *words = shlex.split(line)
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        done = nearfar(*words, cwd=tmp_path / name)
        assert done.returncode == 0, done.stderr
        told = re.search(r"Next: nearfar \w+ \w[\w-]* --data (\S+)", done.stdout)
        assert told is not None
        assert (tmp_path / name / told[1]).exists()
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        found.append({file.relative_to(tmp_path / name): file.read_bytes() for file in files})
    assert found[0] == found[1]
    again = nearfar(*words, cwd=tmp_path / "a")
    assert again.returncode == 2
    assert "exists; expected a folder that is empty" in again.stderr


@pytest.mark.parametrize("page", ["README.md", "shared/core/README.md"])
def test_the_first_block_of_python_runs(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    block = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    assert "loss.backward()" in block
    exec(block.replace("32768", "256"), {})


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS)
def test_every_command_line_works(domain, tmp_path):
    lines = commands(domain)
    assert len(lines) >= 3
    for line in lines:
        _, *words = shlex.split(line)
        done = nearfar(*words, cwd=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"
