"""What tools/new-package makes passes all checks of the house, in a copy of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The workspace with a package more, which is installed in the folder ``site``."""
    copy = tmp_path_factory.mktemp("copy")
    left_out = shutil.ignore_patterns("__pycache__", "results", "*.egg-info", "runs")
    for name in ("docs", "packages", "shared", "tools"):
        shutil.copytree(ROOT / name, copy / name, ignore=left_out)
    for name in ("pyproject.toml", "mkdocs.yml"):
        shutil.copy(ROOT / name, copy / name)
    check(copy, "tools/new-package", "astro")
    check(copy, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation",
          "--target", "site", "packages/astro")  # fmt: skip
    return copy


def check(copy: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(copy / "site")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_passes_its_own_tests(copy):
    assert "passed" in check(copy, "-m", "pytest", "-q", "-n", "0", "packages/astro")


@pytest.mark.slow
def test_style_and_types(copy):
    check(copy, "-m", "ruff", "check", "packages/astro")
    check(copy, "-m", "ruff", "format", "--check", "packages/astro")
    check(copy, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), "packages/astro/src")


@pytest.mark.slow
def test_imports_and_names(copy):
    check(copy, "-c", "from importlinter.cli import lint_imports_command as run; run()")
    assert "newdomain" not in check(copy, "-m", "nearfar_kit.umbrella", "list").lower()
    assert "newdomain" not in "".join(
        path.read_text(encoding="utf-8").lower()
        for path in (copy / "packages" / "astro").rglob("*.*") if path.suffix in (".py", ".md")
    )  # fmt: skip


@pytest.mark.slow
def test_it_is_listed_and_its_demo_runs(copy):
    assert "astro" in check(copy, "-m", "nearfar_kit.umbrella", "list")
    check(copy, "-m", "nearfar_kit.umbrella", "astro", "demo", "--out", "run", "--quiet")
    assert (copy / "run" / "report.html").exists()


def test_a_name_that_is_none_is_refused():
    for name in ("har", "Astro", "2d", "newdomain"):
        done = subprocess.run([sys.executable, ROOT / "tools" / "new-package", name],
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
