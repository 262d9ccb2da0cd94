"""Depths of contigs: of MetaBAT's table and plain ones, and what is no depth is refused."""

from __future__ import annotations

import pytest

from nearfar_dna.alphabet import decode
from nearfar_dna.cli import app
from nearfar_dna.depths import read_depths
from nearfar_kit.errors import UserError

METABAT = (
    "contigName\tcontigLen\ttotalAvgDepth\ta.bam\ta.bam-var\tb.bam\tb.bam-var\n"
    "c1\t5000\t12\t10\t3.5\t2\t0.5\nc2\t6000\t7\t4.5\t1\t2.5\t0.25\nc3\t900\t1\t1\t1\t0\t0\n"
)
IDS, LENGTHS = ["c2", "c1"], [6000, 5000]


def depths_of(tmp_path, text):
    path = tmp_path / "depth.txt"
    path.write_text(text)
    samples, depths = read_depths(path, IDS, LENGTHS)
    return samples, depths.tolist()


def test_of_metabats_table_the_depths_alone_are_read(tmp_path):
    expected = (["a.bam", "b.bam"], [[4.5, 2.5], [10, 2]])
    assert depths_of(tmp_path, METABAT) == expected
    plain = "id\ta.bam\tb.bam\nc1\t10\t2\nc2\t4.5\t2.5\n"
    assert depths_of(tmp_path, plain) == expected
    assert depths_of(tmp_path, "#" + plain) == expected
    bare = plain.split("\n", 1)[1]
    assert depths_of(tmp_path, bare) == (["column 2", "column 3"], expected[1])
    assert depths_of(tmp_path, bare.replace("\t", ",")) == (["column 2", "column 3"], expected[1])


@pytest.mark.parametrize("header", ["id;a.bam;b.bam\n", ""])
def test_semicolons_and_decimal_commas(tmp_path, header):
    samples, depths = depths_of(tmp_path, header + "c1;10;2\nc2;4,5;2,5\n")
    assert samples == (["a.bam", "b.bam"] if header else ["column 2", "column 3"])
    assert depths == [[4.5, 2.5], [10, 2]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("contig\tlength\tx\nc1\t5000\t1\nc2\t6000\t2\n", "column 2, 'length', is no depth"),
        ("contigName\tcontigLen\tx\nc1\t5000\t1\nc2\t6000\t2\n", "column 2, 'contigLen', is no"),
        ("id\tx\tx-var\nc1\t5\t1\nc2\t6\t2\n", "column 3, 'x-var', is no depth"),
        ("id\tx\tn\nc1\t5\t5000\nc2\t6\t6000\n", "n holds the lengths of the contigs"),
        ("c1\t5000\t1\nc2\t6000\t2\n", "column 2 holds the lengths of the contigs"),
        ("contigName\tcontigLen\ttotalAvgDepth\nc1\t5000\t1\nc2\t6\t2\n", "has no column of"),
        ("id\tx\nc1\t5\n", "has no row for c2"),
        ("id\tx\nc1\t5\nc2\tnan\n", "row 3: c2 has 'nan'; expected a depth, 0 or more"),
        ("id\tx\nc1\t5\nc2\t-1\n", "row 3: c2 has '-1'"),
        ("id\tx\nc1\t5\nc2\t1\t2\n", "row 3: c2 has 3 columns; expected 2"),
        ("id\tx\nc1\t5\nc2\t1\nc1\t6\n", "row 4: id c1 occurs again"),
        ("", "holds no depth"),
        ("c1\nc2\n", "has no column of depths"),
    ],
)  # fmt: skip
def test_what_is_no_depth_is_refused(tmp_path, text, told):
    with pytest.raises(UserError, match=told):
        depths_of(tmp_path, text)


def test_bin_tells_which_samples_and_of_which_bases(run_folder, genomes, tmp_path, capsys):
    contigs, depth = tmp_path / "c.fa", tmp_path / "depth.txt"
    bases = decode(genomes.genomes[0].pieces[0])
    contigs.write_text(f">c1\n{bases[:5000]}\n>c2\n{bases[5000:11000]}\n>c3\n{bases[:900]}\n")
    depth.write_text(METABAT)
    app(["bin", "--model", str(run_folder), "--data", str(contigs), "--out", str(tmp_path / "b"),
         "--abundance", str(depth), "--min-bin-size", "1000"], standalone_mode=False)  # fmt: skip
    out, err = capsys.readouterr()
    assert f"{depth}: depths in 2 samples: a.bam, b.bam\n" in out
    assert "bins with 100% of the bases of the 2 contigs of 2,500 bp and more" in out
    assert err == "1 sequence left out: shorter than 2500 bp\n"
