"""What is built works without the source tree, where only the dependencies are besides."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(p.parent for f in ("shared", "packages") for p in ROOT.glob(f"{f}/*/src"))
DOMAINS = [p.name for p in PACKAGES if p.parent.name == "packages"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist of each package."""
    folder = tmp_path_factory.mktemp("built")
    for package in PACKAGES:
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder],
                       cwd=package, check=True, capture_output=True)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def bin_folder(built, tmp_path_factory):
    """Of an environment with the wheels, and what they depend on from where the tests run.

    The other environment's folder comes in by a path file, whose own path files are not looked at:
    its editable packages are not there.
    """
    place = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [*pip, "--python", place / "bin" / "python", "install", "--no-deps", "--no-index",
         "--ignore-installed", *built.glob("*.whl")],
        check=True,
    )  # fmt: skip
    return place / "bin"


def run(bin_folder: Path, cwd: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
    done = subprocess.run([str(bin_folder / arguments[0]), *arguments[1:]], cwd=cwd,
                          env=environment, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_both_files_hold_what_belongs_in_them(built, package):
    about = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    stem = f"{about['name'].replace('-', '_')}-{about['version']}"
    module = next((package / "src").iterdir()).name
    sources = {str(p.relative_to(package / "src")) for p in (package / "src").rglob("*.py")}
    with zipfile.ZipFile(built / f"{stem}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
        told = wheel.read(f"{stem}.dist-info/METADATA").decode()
    assert sources <= names
    assert "License-Expression: Apache-2.0" in told
    assert f"{module}/py.typed" in names
    assert f"{stem}.dist-info/licenses/LICENSE" in names
    with tarfile.open(built / f"{stem}.tar.gz") as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert {f"src/{source}" for source in sources} <= names
    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO"} <= names


def test_all_are_imported_and_listed(bin_folder, tmp_path):
    modules = [next((package / "src").iterdir()).name for package in PACKAGES]
    script = (
        f"import {', '.join(modules)}\n"
        f"for m in ({', '.join(modules)},):\n"
        f"    assert m.__file__.startswith({str(bin_folder.parent)!r}), m.__file__\n"
    )
    run(bin_folder, tmp_path, "python", "-c", script)
    listed = run(bin_folder, tmp_path, "nearfar", "list")
    assert all(f"\u2502 {name} " in listed for name in DOMAINS)
    assert "cannot be loaded" not in listed


def test_a_short_demo_runs(bin_folder, tmp_path):
    run(bin_folder, tmp_path, "nearfar", "har", "demo", "--out", "run", "--quiet", "--set=steps=2",
        "--set=tuned_steps=2")  # fmt: skip
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("domain", DOMAINS)
def test_each_demo_runs(bin_folder, tmp_path, domain):
    run(bin_folder, tmp_path, "nearfar", "demo", domain, "--quiet")
    assert (tmp_path / "runs" / f"demo-{domain}" / "report.html").exists()
