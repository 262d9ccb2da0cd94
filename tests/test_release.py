"""tools/release in a small repository: what it says, does, and refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def git(folder, *arguments):
    return subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@pytest.fixture
def house(tmp_path, monkeypatch):
    """The kit alone, under git."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    shutil.copytree(ROOT / "shared" / "kit", tmp_path / "shared" / "kit",
                    ignore=shutil.ignore_patterns("__pycache__", "tests"))  # fmt: skip
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "release", tmp_path / "tools" / "release")
    (tmp_path / ".gitignore").write_text("dist/\n__pycache__/\n")
    changelog = tmp_path / "shared" / "kit" / "CHANGELOG.md"
    changelog.write_text("# Changelog of nearfar-kit\n\n## 9.1.0 (unreleased)\n\n- More.\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def release(house, *arguments):
    return subprocess.run([sys.executable, house / "tools" / "release", *arguments],
                          capture_output=True, text=True)  # fmt: skip


def test_without_go_nothing_changes(house):
    done = release(house, "kit", "9.1.0")
    assert done.returncode == 0, done.stderr
    assert "nearfar_kit-9.1.0-py3-none-any.whl" in done.stdout
    assert "would commit and tag nearfar-kit-v9.1.0" in done.stdout
    assert not git(house, "status", "--porcelain")
    assert not git(house, "tag")


def test_with_go_version_changelog_and_tag(house):
    done = release(house, "kit", "9.1.0", "--go")
    assert done.returncode == 0, done.stderr
    assert git(house, "tag").split() == ["nearfar-kit-v9.1.0"]
    assert not git(house, "status", "--porcelain")
    assert 'version = "9.1.0"' in (house / "shared/kit/pyproject.toml").read_text()
    init = (house / "shared/kit/src/nearfar_kit/__init__.py").read_text()
    assert '__version__ = "9.1.0"' in init
    assert "(unreleased)" not in (house / "shared/kit/CHANGELOG.md").read_text()
    assert len(list((house / "dist").iterdir())) == 2
    again = release(house, "kit", "9.1.0", "--go")
    assert again.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("none", "9.1.0"), "no package none"),
        (("kit", "9.1"), "expected MAJOR.MINOR.PATCH"),
        (("kit", "0.0.1"), "expected a version from there on"),
        (("kit", "9.2.0"), "holds no '## 9.2.0 (unreleased)'"),
    ],
)
def test_what_is_refused(house, arguments, told):
    done = release(house, *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_changes_that_are_not_committed_are_not_released(house):
    (house / "shared/kit/README.md").write_text("changed")
    done = release(house, "kit", "9.1.0", "--go")
    assert "expected a clean one" in done.stderr
    assert not git(house, "tag")
