"""What the pages of docs/ show runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def files(page: str, folder: Path) -> Path:
    """The page's small files, written to a folder."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name, content in re.findall(
        r'^```\w+ title="([^"]+)"\n(.*?)^```', text, re.MULTILINE | re.DOTALL
    ):
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def test_each_line_on_choosing_a_loss():
    import torch

    names: dict[str, object] = {}
    lines = 0
    for block in blocks("core/choosing.md", "python"):
        for line in block.splitlines():
            value = eval(line, names) if line.startswith(("F.", "nearfar.")) else exec(line, names)
            if value is not None:
                lines += 1
                assert torch.isfinite(value)
                assert value.shape == ()
    assert lines > 30


def test_every_function_is_in_the_choice():
    from nearfar import functional

    page = (DOCS / "core" / "choosing.md").read_text(encoding="utf-8")
    assert not [name for name in functional.__all__ if f"F.{name}(" not in page
                and name != "concentration"]  # fmt: skip


class TestTinyExamples:
    def test_har(self, tmp_path):
        from nearfar_har import read

        (recording,) = read(files("domains/har.md", tmp_path) / "rides.csv").recordings
        assert sorted(recording.devices) == ["ankle", "wrist"]

    @pytest.mark.parametrize("name", ["ratings.csv", "baskets.txt"])
    def test_seqrec(self, tmp_path, name):
        from nearfar_seqrec.data import split_of
        from nearfar_seqrec.readers import read
        from nearfar_seqrec.settings import SeqrecSettings

        known = read(files("domains/seqrec.md", tmp_path) / name)
        assert len(known.users) == 2
        # What the page trains it with leaves something to train on.
        assert len(split_of(known, SeqrecSettings(user_min=1, item_min=1)).test) == 2

    def test_bundle(self, tmp_path):
        from nearfar_bundle.readers import read

        known = read(files("domains/bundle.md", tmp_path))
        assert (len(known), known.bundles.shape[0]) == (4, 2)

    def test_dna(self, tmp_path):
        from nearfar_dna.readers import read_sequences

        found = read_sequences(files("domains/dna.md", tmp_path) / "contigs.fa", min_length=50)
        assert [sequence.id for sequence in found] == ["contig_1", "contig_2"]

    def test_tables(self, tmp_path):
        from nearfar_tables import read

        folder = files("domains/tables.md", tmp_path)
        for name in ("fodors.csv", "zagat.csv"):
            assert read(folder / name).frame.columns == ["name", "address", "city"]

    def test_speech(self, tmp_path):
        import numpy as np
        import soundfile

        from nearfar_speech import find_clips

        folder = files("domains/speech.md", tmp_path)
        (folder / "wavs").mkdir()
        for line in (folder / "commands.csv").read_text().splitlines()[1:]:
            noise = np.random.default_rng(0).normal(0, 0.1, 16000)
            soundfile.write(folder / line.split(",")[0], noise, 16000)
        found = find_clips(folder / "commands.csv")
        assert [clip.intent for clip in found.clips].count("order_coffee") == 2
