"""Files that are not as they should be, by the command line: one line each, and nothing lost."""

from __future__ import annotations

import gzip

import pytest

from nearfar_dna.cli import app
from nearfar_dna.embed import read_embedding
from nearfar_kit.command import run_app

BASES = "ACGTTGCAGGAT" * 100
PROTEIN = "MKLVEEPQ" * 150


def fasta(*records, end="\n"):
    return "".join(f">{name}{end}{text}{end}" for name, text in records).encode()


def fastq(name):
    return f"@{name}\n{BASES}\n+\n{'I' * len(BASES)}\n".encode()


SEVERAL = fasta(*((f"r{n}", "ACGTTGCA" * 9000) for n in range(12)))
STORED = gzip.compress(SEVERAL, 0)
TURNED = STORED[:600_000] + bytes([STORED[600_000] ^ 1]) + STORED[600_001:]
CASES = {  # what the file holds, the ids that are written, the exit status, what is told
    "empty": (b"", None, 2, "holds no sequence; expected FASTA or FASTQ"),
    "blank": (b"\n \n", None, 2, "holds no sequence; expected FASTA or FASTQ"),
    "table": (b"id,sequence\n", None, 2, "begins with 'i'; expected FASTA (>) or FASTQ (@)"),
    "cut FASTQ": (fastq("a") + fastq("b")[:900], ["a"], 2,
                  "is damaged after record a (End of file without quality information.); the 1"),
    "protein": (fasta(("p", PROTEIN), ("q", PROTEIN)), None, 2,
                "no sequence is left ({path}, record 1 (p): holds 'L' at place 3; expected DNA in "
                "IUPAC codes (2 such records))"),
    "protein among DNA": (fasta(("a", BASES), ("p", PROTEIN), ("b", BASES)), ["a", "b"], 2,
                          "record 2 (p): holds 'L' at place 3; expected DNA in IUPAC codes; the 2"),
    "ids twice": (fasta(("a", BASES), ("b", BASES), ("a", BASES)), ["a", "b"], 0,
                  "1 sequence left out: id of an earlier one, the first is a"),
    "10 bp": (fasta(("a", BASES), ("b", BASES[:10])), ["a"], 0,
              "1 sequence left out: shorter than 1000 bp"),
    "10 bp alone": (fasta(("b", BASES[:10])), None, 2,
                    "no sequence is left (1 sequence left out: shorter than 1000 bp); --min-length "
                    "N takes shorter ones"),
    "all N": (fasta(("a", BASES), ("b", "N" * 2000)), ["a"], 0,
              "1 sequence left out: more than half of the bases unknown"),
    "all N alone": (fasta(("b", "N" * 2000)), None, 2,
                    "no sequence is left (1 sequence left out: more than half of the bases"),
    "Windows": (fasta(("a", BASES), ("b", BASES.lower()), end="\r\n"), ["a", "b"], 0, None),
    "cut gzip": (STORED[:-300_000], [f"r{n}" for n in range(7)], 2,
                 "is a damaged gzip file after record r6 (Compressed file ended"),
    "turned gzip": (TURNED, [f"r{n}" for n in range(11) if n != 8], 2,
                    "IUPAC codes; {path}: is a damaged gzip file after record r10 (CRC check"),
    "no gzip at all": (b"\x1f\x8bgarbage", None, 2, "is a damaged gzip file"),
}  # fmt: skip


@pytest.fixture(scope="module")
def kept_model(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model.save(path)
    return path


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_lost(kept_model, tmp_path, capsys, name):
    content, ids, status, told = CASES[name]
    path, out = tmp_path / "x.in", tmp_path / "out" / "x.npy"
    path.write_bytes(content)
    out.parent.mkdir()
    with pytest.raises(SystemExit) as ended:
        run_app(app, ["embed", "--model", str(kept_model), "--data", str(path),
                      "--out", str(out), "--quiet"])  # fmt: skip
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == status
    if told is None:
        assert lines == []
    else:
        (line,) = lines
        assert told.format(path=path) in line
        assert line.startswith("error: ") == (status == 2)
    if ids is None:
        assert list(out.parent.iterdir()) == []
    else:
        found, rows = read_embedding(out)
        assert found == ids
        assert len(rows) == len(ids)


def test_bins_of_a_file_that_breaks_off(kept_model, tmp_path, capsys):
    path = tmp_path / "x.fa.gz"
    path.write_bytes(STORED[:-300_000])
    with pytest.raises(SystemExit) as ended:
        run_app(app, ["bin", "--model", str(kept_model), "--data", str(path),
                      "--out", str(tmp_path / "bins"), "--min-bin-size", "60000"])  # fmt: skip
    assert ended.value.code == 2
    assert "the 7 sequences that are well are written" in capsys.readouterr().err
    fastas = [*(tmp_path / "bins" / "bins").iterdir(), tmp_path / "bins" / "unbinned.fna"]
    assert sum(file.read_text().count(">") for file in fastas) == 7
