"""The built wheels work without the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds the packages as their wheels hold them."""
    made = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    packages = [str(p.parent) for f in ("shared", "packages") for p in ROOT.glob(f"{f}/*/src")]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", made / "built", *packages], check=True)
    wheels = sorted((made / "built").glob("*.whl"))
    assert len(wheels) == len(packages)
    subprocess.run([*pip, "install", "--no-deps", "--target", made / "site", *wheels], check=True)
    return made / "site"


def test_a_demo_runs_from_the_wheels_alone(installed, tmp_path):
    script = (
        "import nearfar, nearfar_kit, nearfar_har, sys\n"
        "for m in (nearfar, nearfar_kit, nearfar_har):\n"
        f"    assert m.__file__.startswith({str(installed)!r}), m.__file__\n"
        "from nearfar_kit.umbrella import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "har", "demo", "--out", "run", "--quiet", "--set=steps=2",
         "--set=tuned_steps=2"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").exists()


def test_types_travel_with_the_core_and_the_kit(installed):
    for name in ("nearfar", "nearfar_kit"):
        assert (installed / name / "py.typed").exists()
