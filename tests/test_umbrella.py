"""``nearfar`` over what is installed, and the demo as a newcomer runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from statistics import fmean

import numpy as np
import pytest
from PIL import Image

from nearfar_kit.metrics import Metrics, parse_split


def nearfar(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "nearfar_kit.umbrella", *arguments],
        capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, **more,
    )  # fmt: skip


def test_list_and_doctor():
    shown = nearfar("list").stdout
    assert "har" in shown
    assert "demo, simulate, train, evaluate, classify, bench" in shown
    assert "demo, simulate, train, evaluate, recognise, bench" in shown
    assert "demo, simulate, train, evaluate, recommend, export, bench" in shown
    shown = nearfar("doctor").stdout
    for word in ("Python", "torch", "loss path", "nearfar-har"):
        assert word in shown


def test_a_domains_verbs_through_the_umbrella():
    done = nearfar("har", "train", "--data", "none")
    assert done.returncode == 2
    assert done.stderr == "error: --data none: no such file or folder; expected a data set\n"
    assert nearfar("hra", "train").returncode == 2
    assert nearfar().returncode in (0, 2)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    done = nearfar("demo", "har", "--out", str(out), "--quiet", cwd=out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "colossl, linear probe" in done.stdout
    assert sorted(p.name for p in out.iterdir()) == ["demo-har", "report.html"]
    return out / "demo-har"


def test_one_page_holds_what_each_demo_shows(demo):
    page = (demo.parent / "report.html").read_text(encoding="utf-8")
    assert "What is compared" in page
    assert page.count("<table>") == page.count("<img ") == 1
    assert 'href="demo-har/report.html"' in page


def test_every_file_of_the_contract(demo):
    names = {path.name for path in demo.iterdir()}
    assert names >= {"settings.yaml", "metrics.json", "log.jsonl", "checkpoint", "report.html"}
    assert list(json.loads((demo / "metrics.json").read_text())) == [
        "schema", "domain", "verb", "date", "versions", "device", "loss_path", "seconds",
        "peak_memory_bytes", "resumed", "settings_hash", "records",
    ]  # fmt: skip
    assert list((demo / "checkpoint").glob("*.safetensors"))
    assert not [n for n in names if n.startswith(".")]


def test_few_labels_beat_the_supervised_baseline(demo):
    values = defaultdict(list)
    for record in Metrics.read(demo / "metrics.json").records:
        split = parse_split(record.split)
        values[record.method, split["readout"], split["labels"]].append(record.value)
    gain = {
        share: fmean(values["colossl", "probe", share])
        - fmean(values["supervised", "tuned", share])
        for share in ("0.01", "0.03", "0.1")
    }
    assert gain["0.01"] > 0.05
    assert min(gain.values()) > 0


def test_the_report_is_one_page_of_tables_and_pictures(demo):
    class Page(HTMLParser):
        def __init__(self):
            super().__init__()
            self.tags, self.sources = [], []

        def handle_starttag(self, tag, attributes):
            self.tags.append(tag)
            self.sources += [v for k, v in attributes if k in ("src", "href")]

    page = Page()
    page.feed((demo / "report.html").read_text(encoding="utf-8"))
    assert page.tags.count("table") >= 2
    assert page.tags.count("img") == len(list(demo.glob("*.png"))) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    for picture in demo.glob("*.png"):
        with Image.open(picture) as image:
            assert np.asarray(image.convert("L")).std() > 5  # something is drawn
