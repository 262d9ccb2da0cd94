"""The face for Python: what it takes, and one clear line on what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar_dna import DnaEmbedder, DnaModel, read_genomes, read_sequences
from nearfar_kit.errors import UserError

DNA = "ACGTTGCA" * 100


@pytest.fixture(scope="module")
def embedder(genomes):
    settings = {"steps": 1, "fragments_a_genome": 4, "width": 8}
    return DnaEmbedder(**settings, shortest=500, longest=1500).fit(genomes)


def test_paths_may_be_text(embedder, genome_file, tmp_path):
    assert read_genomes(str(genome_file)).counted == "6 genomes of 6 species"
    codes = [sequence.codes for sequence in read_sequences(str(genome_file))]
    embedder.model_.save(str(tmp_path / "kept.safetensors"))
    kept = DnaModel.load(str(tmp_path / "kept.safetensors"))
    assert np.array_equal(kept.embed(codes), embedder.transform(codes))


def test_text_bytes_and_codes_are_alike(embedder):
    rows = embedder.transform([DNA, DNA.lower(), DNA.encode(), f"{DNA[:9]}--{DNA[9:]}"])
    assert rows.shape == (4, 8)
    assert (rows == rows[0]).all()


@pytest.mark.parametrize(
    ("sequences", "told"),
    [
        (DNA, r"transform: got one sequence; expected a list of them"),
        (DNA.encode(), r"transform: got one sequence; expected a list of them"),
        ([DNA, ""], "transform, row 1: holds no known base"),
        ([DNA, "NNNN"], "transform, row 1: holds no known base"),
        (["hello world"], "transform, row 0: holds 'e' at place 2; expected DNA in IUPAC codes"),
        ([b"ACGT\xff"], "transform, row 0: holds .* at place 5"),
        ([DNA, 7], "transform, row 1: is a int; expected a sequence as text or bytes"),
        ([np.frombuffer(b"ACGT", np.uint8)], "transform, row 0: holds no known base"),
    ],
)  # fmt: skip
def test_what_is_no_list_of_dna_is_refused(embedder, sequences, told):
    with pytest.raises(UserError, match=told):
        embedder.transform(sequences)


def test_fit_says_what_it_learns_from(genomes):
    with pytest.raises(UserError, match=r"fit: got a list; expected genomes .* read_genomes\("):
        DnaEmbedder().fit([DNA, DNA], ["A", "B"])
    with pytest.raises(UserError, match="fit: got labels beside the genomes"):
        DnaEmbedder().fit(genomes, ["A"] * 6)
