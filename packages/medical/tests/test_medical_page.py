"""What the page shows of Python and of the presets is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from nearfar_medical.settings import PRESETS, MedicalSettings
from nearfar_medical.simulate import write_simulated

PAGE = (Path(__file__).parents[3] / "docs" / "domains" / "medical.md").read_text(encoding="utf-8")


def test_the_block_of_python_runs(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    few = "global_steps=1, local_steps=1, tuned_steps=2, widths=[4, 8, 8, 8], volumes=2"
    block = block.replace("global_steps=200", few)
    assert few in block
    write_simulated(tmp_path / "volumes", 5)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "masks").glob("simulated_*.nii.gz"))) == 5


def test_the_presets_are_as_the_page_has_them():
    section = PAGE.split("## Presets")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", section, re.M)
    assert {name for name, _, _ in rows} == PRESETS["cpu"].keys()
    usual = MedicalSettings()
    for name, cpu, gpu in rows:
        large = getattr(usual, name)
        large = round(large, 2) if name == "crop" else large
        for told, so in ((cpu, PRESETS["cpu"][name]), (gpu, large)):
            assert yaml.safe_load(told) == (list(so) if isinstance(so, tuple) else so)
