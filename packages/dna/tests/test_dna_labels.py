"""Labels in tables: read where they are given, or refused in one line."""

from __future__ import annotations

import pytest

from nearfar_dna.cli import app
from nearfar_dna.genomes import read_genomes
from nearfar_dna.labels import read_labels
from nearfar_kit.errors import UserError

DNA = "ACGT" * 20


@pytest.fixture
def folder(tmp_path):
    """Four files whose names tell no species."""
    made = tmp_path / "genomes"
    (made / "more").mkdir(parents=True)
    for name in ("GCF_1.1.fna", "GCF_2.1.fna.gz", "GCF_3.1.fa", "more/GCF_4.1.fa"):
        (made / name).write_text(f">x\n{DNA}\n")
    return made


def test_labels_are_read_for_a_folder(folder, tmp_path):
    table = tmp_path / "samples.tsv"
    table.write_text(
        "genome\tspecies\nGCF_1.1.fna\tA b\nGCF_2.1\tA b\nGCF_3.1\tC d\nmore/GCF_4.1.fa\tC d\n"
    )
    genomes = read_genomes(folder, table, min_length=10)
    assert [(g.name, g.species) for g in genomes.genomes] == [
        ("GCF_1.1.fna", "A b"), ("GCF_2.1.fna.gz", "A b"), ("GCF_3.1.fa", "C d"),
        ("GCF_4.1.fa", "C d"),
    ]  # fmt: skip
    assert genomes.notes == ()
    (folder / "genomes.tsv").write_text("file\tspecies\nGCF_1.1.fna\tother\n")
    assert read_genomes(folder, table, min_length=10).names == ["A b", "C d"]
    table.write_text("GCF_1.1.fna\tA b\n")
    told = r"has no row for GCF_2\.1\.fna\.gz of .*; expected GCF_2\.1\.fna\.gz or GCF_2\.1, and"
    with pytest.raises(UserError, match=told):
        read_genomes(folder, table, min_length=10)


def test_labels_that_are_not_there_are_told_before_a_run_begins(folder, tmp_path):
    with pytest.raises(UserError, match=r"nosuch\.tsv: no such file; expected rows of an id"):
        app(["train", "--data", str(folder), "--labels", str(tmp_path / "nosuch.tsv"),
             "--out", str(tmp_path / "r")], standalone_mode=False)  # fmt: skip
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("filename\torganism\nGCF_1.1.fna\tA\n", "has columns filename, organism; expected file"),
        ("file,species\nGCF_1.1.fna,A\n", "has columns file,species; .* a tab between"),
        ("file\tspecies\n", "has no row after its header"),
        ("file\tspecies\nGCF_1.1.fna\n", "row 2: lacks its file or species"),
    ],
)  # fmt: skip
def test_a_table_of_genomes_that_is_none_says_what_was_found(folder, table, told):
    (folder / "genomes.tsv").write_text(table)
    with pytest.raises(UserError, match=f"genomes.tsv.*{told}"):
        read_genomes(folder, min_length=10)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("id\tdepth\na\t62.152\nb\t3\n", r"under 'depth' is all numbers \(a has 62\.152\)"),
        ("id\tdepth\na\t62\nb\t3\n", "under 'depth' is all numbers"),
        ("contigName\tcontigLen\nc1\t2500\nc2\t2600\n", "under 'contigLen' is all numbers"),
        ("a\t62.152\nb\t3\n", r"column 2 is all numbers \(a has 62\.152\); expected species"),
        ("id\tbatch\tspecies\na\t1\tA\n", "species is column 3; expected columns id and species"),
    ],
)  # fmt: skip
def test_a_table_of_something_else_is_no_table_of_labels(tmp_path, table, told):
    path = tmp_path / "x.tsv"
    path.write_text(table)
    with pytest.raises(UserError, match=told):
        read_labels(path)


def test_whole_numbers_may_be_names(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("id\ttaxid\na\t562\nb\t1423\n")
    assert read_labels(path) == {"a": ("562",), "b": ("1423",)}
