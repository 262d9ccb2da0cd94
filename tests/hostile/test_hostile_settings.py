"""Settings and models made to harm, which all domains read by the same code."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_files import assert_refused, deep, huge_safetensors, pickled, torch_pickled

BEGIN = {
    "har": ("train", "--data", "none.csv"),
    "medical": ("train", "--data", "none"),
    "speech": ("train", "--data", "none"),
}


@pytest.mark.parametrize("domain", BEGIN)
class TestSettings:
    """--config and --set, read by the kit for all."""

    def refused(self, domain, *more):
        return assert_refused(domain, *BEGIN[domain], "--out", "run", *more)

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


@pytest.mark.parametrize(("domain", "verb"), [("har", "classify"), ("medical", "segment"),
                                              ("speech", "evaluate")])  # fmt: skip
@pytest.mark.parametrize("make", [pickled, torch_pickled, huge_safetensors, deep])
def test_models(domain, verb, make):
    make("run/checkpoint/model.safetensors")
    Path("run/settings.yaml").write_text("{}")
    Path("data").mkdir()
    Path("data/a.csv").write_text("time,device,acc_x,acc_y,acc_z\n0,a,1,2,3\n")
    out = "labels.csv" if domain == "har" else "out"
    assert_refused(domain, verb, "--model", "run", "--data", "data", "--out", out)
