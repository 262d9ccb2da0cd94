"""Settings and models made to harm, which all domains read by the same code."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_files import assert_refused, deep, huge_safetensors, pickled, torch_pickled

VERBS = {"tables": "integrate"}
DOMAINS = ["bundle", "dna", "har", "medical", "seqrec", "speech", "tables"]


@pytest.mark.parametrize("domain", DOMAINS)
class TestSettings:
    """--config and --set, read by the kit for all."""

    def refused(self, domain, *more):
        verb = VERBS.get(domain, "train")
        said = assert_refused(domain, verb, "--data", "none", "--out", "run", *more)
        assert "none: " not in said  # refused for the settings, not for the data

    def config(self, domain, text):
        Path("evil.yaml").write_text(text)
        return self.refused(domain, "--config", "evil.yaml")

    def test_objects(self, domain):
        self.config(domain, "batch: !!python/object/apply:os.system ['touch owned']\n")

    def test_aliases_that_multiply(self, domain):
        lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
        for one, two in zip("abcdefgh", "bcdefghi", strict=True):
            lines.append(f"{two}: &{two} [{', '.join([f'*{one}'] * 10)}]")
        text = "\n".join([*lines, "batch: *i"])
        self.config(domain, text)
        self.config(domain, text.replace("\n", "\n  ").replace("a: &a", "batch:\n  a: &a", 1)
                    .replace("\n  batch: *i", ""))  # fmt: skip

    def test_nested_deeply(self, domain):
        self.config(domain, "batch: " + "[" * 2_000)
        self.refused(domain, "--set", "batch=" + "[" * 2_000)

    def test_values_that_yaml_cannot_hold(self, domain):
        self.refused(domain, "--set", "batch=2026-99-99")
        self.refused(domain, "--set", f"batch={'9' * 10_000}")

    def test_a_file_without_end(self, domain):
        self.refused(domain, "--config", "/dev/zero")


@pytest.mark.parametrize(
    ("domain", "verb", "out"),
    [("bundle", "evaluate", "out"), ("dna", "embed", "out.npy"), ("har", "classify", "out.csv"),
     ("medical", "segment", "out"), ("seqrec", "evaluate", "out"), ("speech", "evaluate", "out")],
)  # fmt: skip
@pytest.mark.parametrize("make", [pickled, torch_pickled, huge_safetensors, deep])
def test_models(domain, verb, out, make):
    make("run/checkpoint/model.safetensors")
    Path("run/settings.yaml").write_text("{}")
    Path("data").mkdir()
    Path("data/a.csv").write_text("time,device,acc_x,acc_y,acc_z\n0,a,1,2,3\n")
    said = assert_refused(domain, verb, "--model", "run", "--data", "data", "--out", out)
    assert "model.safetensors: " in said
