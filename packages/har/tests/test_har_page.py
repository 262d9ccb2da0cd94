"""The Python of the README runs as it stands there, on what ``simulate`` writes."""

from __future__ import annotations

import re
from pathlib import Path

from nearfar_har import HarModel
from nearfar_har.simulate import write_simulated

README = Path(__file__).parent.parent / "README.md"


def test_the_block_of_python_runs(tmp_path, monkeypatch):
    (block,) = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    monkeypatch.chdir(tmp_path)
    Path("runs/recordings").mkdir(parents=True)
    write_simulated(Path("runs/recordings"), seed=0)
    short = block.replace("labels=0.1", "labels=0.1, steps=3, tuned_steps=3")
    names: dict[str, object] = {}
    exec(short, names)
    model, test = names["model"], names["test"]
    assert repr(model) == ("ActivityClassifier(random_state=0, labels=0.1, steps=3, tuned_steps=3)")
    assert repr(test).startswith(f"Windows({len(test)} of 2 s, devices ")
    assert HarModel.load("har.safetensors").activities == tuple(model.classes_)
