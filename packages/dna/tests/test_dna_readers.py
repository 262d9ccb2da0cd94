"""Readers: what comes in, and one clear line on what cannot."""

from __future__ import annotations

import gzip

import pytest

from nearfar_dna.alphabet import decode, reverse_complement
from nearfar_dna.genomes import read_genomes
from nearfar_dna.headers import species_of_header
from nearfar_dna.labels import read_labels
from nearfar_dna.readers import Tally, read_sequences
from nearfar_dna.simulate import simulate, write_simulated
from nearfar_kit.errors import UserError

FASTA = b">a one\nACGT\nacgt\n>b\nNNNNNNACGT\n>c\nAC-GU.RYAC\n>d\nAC\n>a again\nAAAAAAAA\n"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_fasta_in_every_dress(tmp_path, packed, end):
    path = tmp_path / "x.fa"
    content = FASTA.replace(b"\n", end)
    path.write_bytes(gzip.compress(content) if packed else content)
    tally = Tally()
    found = [(s.id, s.description, decode(s.codes))
             for s in read_sequences(path, min_length=4, tally=tally)]  # fmt: skip
    assert found == [("a", "one", "ACGTACGT"), ("c", "", "ACGTNNAC")]
    assert (tally.short, tally.unknown, tally.repeated, tally.bases) == (1, 1, 1, 16)
    assert tally.lines(4) == [
        "1 sequence left out: shorter than 4 bp",
        "1 sequence left out: more than half of the bases unknown",
        "1 sequence left out: id of an earlier one, the first is a",
    ]
    assert tally.share == 1
    assert tally.mistake == ""


def test_records_that_are_no_dna_are_told_and_the_others_kept(tmp_path):
    path = tmp_path / "x.fa"
    path.write_text(">a\nACGT\n>p\nACGTL\n>q\nEEEE\n>b\nGGGG\n")
    tally = Tally()
    assert [s.id for s in read_sequences(path, tally=tally)] == ["a", "b"]
    assert tally.mistake == (
        f"{path}, record 2 (p): holds 'L' at place 5; expected DNA in IUPAC codes (2 such records)"
    )


def test_fastq_cut_in_the_middle_gives_what_was_before(tmp_path):
    path = tmp_path / "x.fq"
    path.write_text("@a\nACGT\n+\nIIII\n@b\nACGTAC\n+\nII")
    tally = Tally()
    assert [s.id for s in read_sequences(path, tally=tally)] == ["a"]
    assert "damaged after record a" in tally.damage
    with pytest.raises(UserError, match="damaged after record a"):
        list(read_sequences(path))


def test_a_corrupt_gzip_gives_what_was_before(tmp_path):
    path = tmp_path / "x.fa.gz"
    records = b"".join(b">r%d\n%s\n" % (n, b"ACGTTGCA" * 9_000) for n in range(40))
    path.write_bytes(gzip.compress(records, 0)[:-100_000])
    tally = Tally()
    found = list(read_sequences(path, tally=tally))
    assert 0 < len(found) < 40
    assert all(len(s) == 72_000 for s in found)
    assert f"damaged gzip file after record r{len(found) - 1}" in tally.damage


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no sequence"),
        (b">p\nACGT\n>q\nMKLV\n", r"record 2 \(q\): holds 'L' at place 3"),
        (b"id,sequence\n", "begins with 'i'"),
        (b"> \nACGT\n", "record 1: has no id"),
    ],
)  # fmt: skip
def test_one_clear_line(tmp_path, content, told):
    path = tmp_path / "x.fa"
    path.write_bytes(content)
    with pytest.raises(UserError, match=told):
        list(read_sequences(path))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        list(read_sequences(tmp_path / "none.fa"))


def test_species_from_files_headers_and_a_table(tmp_path):
    for name in ("Aa_b__s1.fna", "Aa_b__s2.fna", "Cc_d.fa"):
        (tmp_path / name).write_text(">x\n" + "ACGT" * 20 + "\n")
    genomes = read_genomes(tmp_path, min_length=10)
    assert genomes.names == ["Aa_b", "Cc_d"]
    assert genomes.species.tolist() == [0, 0, 1]
    rest, held_out = genomes.strains_held_out()
    assert [g.name for g in held_out.genomes] == ["Aa_b__s2.fna"]
    assert len(rest.genomes) == 2
    one = tmp_path / "one.txt"
    one.write_text(">x E. coli\n" + "ACGT" * 20 + "\n>y E. coli\n" + "ACGT" * 20 + "\n")
    assert len(read_genomes(one, min_length=10).genomes[0].pieces) == 2
    table = tmp_path / "labels.tsv"
    table.write_text("id\tspecies\tgenome\nx\tA\ts1\ny\tA\ts2\n")
    assert [g.name for g in read_genomes(one, table, min_length=10).genomes] == ["s1", "s2"]
    table.write_text("x\tA\n")
    with pytest.raises(UserError, match="no row for y"):
        read_genomes(one, table, min_length=10)
    table.write_text("x\n")
    with pytest.raises(UserError, match="row 1: has no label"):
        read_labels(table)


@pytest.mark.parametrize(
    ("header", "species", "genome"),
    [
        ("Escherichia coli str. K-12 substr. MG1655, complete genome",
         "Escherichia coli", "Escherichia coli str. K-12 substr. MG1655"),
        ("Escherichia coli strain X plasmid pA, complete sequence",
         "Escherichia coli", "Escherichia coli strain X"),
        ("MAG: Candidatus Pelagibacter ubique isolate Q contig_1, whole genome shotgun sequence",
         "Candidatus Pelagibacter ubique", "Candidatus Pelagibacter ubique isolate Q"),
        ("[Clostridium] innocuum DNA, complete genome",
         "[Clostridium] innocuum", "[Clostridium] innocuum"),
        ("Pseudomonas sp. A1 chromosome, complete genome",
         "Pseudomonas sp. A1", "Pseudomonas sp. A1"),
    ],
)  # fmt: skip
def test_headers_of_ncbi(header, species, genome):
    assert species_of_header(header) == (species, genome)


@pytest.mark.parametrize(
    "header",
    ["Escherichia coli", "Escherichia_coli", "E. coli", "species 01", "Escherichia coli K"],
)
def test_a_plain_header_is_a_species_whole(header):
    assert species_of_header(header) == (header, header)


DNA = "ACGT" * 20


def test_species_of_an_ncbi_file_are_told(tmp_path):
    path = tmp_path / "refseq.fna"
    path.write_text(
        f">NC_1 Escherichia coli str. K-12, complete genome\n{DNA}\n"
        f">NC_2 Escherichia coli str. K-12 plasmid pA, complete sequence\n{DNA}\n"
        f">NC_3 Escherichia coli O157:H7 str. Sakai DNA, complete genome\n{DNA}\n"
        f">NC_4 Bacillus subtilis\n{DNA}\n"
    )
    genomes = read_genomes(path, min_length=10)
    assert genomes.counted == "3 genomes of 2 species"
    (note,) = genomes.notes
    assert "3 headers say more than a species; of 'Escherichia coli str. K-12, complete" in note
    table = tmp_path / "labels.tsv"
    table.write_text("".join(f"NC_{n}\ts{n}\n" for n in range(1, 5)))
    assert read_genomes(path, table, min_length=10).notes == ()


def test_where_each_is_a_species_of_its_own_a_note_says_what_is_expected(tmp_path):
    for name in ("Aa_b-NC_1.fna", "Aa_b-NC_2.fna"):
        (tmp_path / name).write_text(f">x\n{DNA}\n")
    (note,) = read_genomes(tmp_path, min_length=10).notes
    assert "which Aa_b-NC_1.fna has not; expected SPECIES__STRAIN.fna, or a genomes.tsv" in note
    for old in list(tmp_path.iterdir()):
        old.rename(tmp_path / old.name.replace("-", "__"))
    assert read_genomes(tmp_path, min_length=10).notes == ()
    one = tmp_path / "one.txt"
    one.write_text(f">x A 1\n{DNA}\n>y A 2\n{DNA}\n")
    (note,) = read_genomes(one, min_length=10).notes
    assert "each record is a species of its own" in note
    assert "--labels TSV of id, species and genome" in note


def test_genomes_all_too_short_name_the_setting(tmp_path):
    (tmp_path / "A__1.fna").write_text(f">x\n{DNA}\n")
    with pytest.raises(UserError, match=r"no sequence has 1000 bases; .* setting min_length"):
        read_genomes(tmp_path, min_length=1000)
    (tmp_path / "B__1.fna").write_text(f">x\n{DNA * 20}\n")
    (note,) = read_genomes(tmp_path, min_length=1000).notes
    assert "1 of 2 files left out: no sequence has 1000 bases" in note


def test_what_simulate_writes_is_of_the_species_it_tells(tmp_path):
    write_simulated(tmp_path, seed=3)
    made = {genome.species: decode(genome.pieces[0]) for genome in simulate(seed=3).genomes}
    known = read_genomes(tmp_path / "genomes").genomes
    assert {g.species.replace("_", " "): decode(g.pieces[0]) for g in known} == {
        name: made[name] for name in list(made)[:16]
    }
    told = dict(line.split("\t") for line in (tmp_path / "species.tsv").read_text().splitlines())
    contigs = list(read_sequences(tmp_path / "contigs.fa"))
    assert [contig.id for contig in contigs] == list(told)
    for contig in contigs:
        whole = made[told[contig.id].replace("_", " ")]
        assert decode(contig.codes) in whole or decode(reverse_complement(contig.codes)) in whole
