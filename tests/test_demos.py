"""Every domain's demo as a newcomer runs it; har's is looked at closer in test_umbrella."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from nearfar_kit.metrics import Metrics

DOMAINS = sorted({point.name for point in entry_points(group="nearfar.domains")} - {"har"})


@pytest.mark.parametrize("domain", DOMAINS)
def test_it_ends_with_a_report(domain, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "nearfar_kit.umbrella", "demo", domain, "--out", ".", "--quiet"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("report: ") == 1
    assert done.stdout.count("┏") == 1, "a terminal shows one table"
    run = tmp_path / f"demo-{domain}"
    assert Metrics.read(run / "metrics.json").records
    assert "<table" in (run / "report.html").read_text(encoding="utf-8")
