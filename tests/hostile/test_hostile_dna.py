"""Sequences, labels, depths, tokenizers and models of DNA made to harm."""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path

import pytest
from hostile_files import (
    assert_refused,
    deep,
    huge_safetensors,
    pickled,
    status_of,
    torch_pickled,
)

RANDOM = random.Random(0)
BASES = ["".join(RANDOM.choices("ACGT", k=3000)) for _ in range(12)]
TERMINAL = "\x1b]0;owned\x07"
KNOWN = ["a A", "b B", "c A", "d B"]


def fasta(path: str, names, bases=BASES) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    lines = [f">{name}\n{text}\n" for name, text in zip(names, bases, strict=False)]
    Path(path).write_text("".join(lines))
    return path


def bomb(path: str, before: bytes = b">a A\n", again: bytes = b"A" * 2**20) -> str:
    """More of one record, or of many, than any file of its size may unpack to."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(before)
        for _ in range(2**28 // len(again) + 2):
            file.write(again)
    return path


@pytest.fixture(scope="session")
def a_bomb(tmp_path_factory):
    return bomb(str(tmp_path_factory.mktemp("dna") / "bomb.fna.gz"))


@pytest.fixture(scope="session")
def kept_model(tmp_path_factory):
    """One that has learnt nothing."""
    from nearfar_dna.model import DnaModel, new_encoder
    from nearfar_dna.settings import DnaSettings

    settings = DnaSettings(width=8, hidden=4, kmers=(2,))
    path = tmp_path_factory.mktemp("dna") / "model.safetensors"
    DnaModel(settings, new_encoder(settings)).save(path)
    return path


VERBS = {
    "embed": ("--out", "x.npy"),
    "cluster": ("--out", "x.tsv"),
    "classify": ("--out", "x.tsv", "--labelled", "known.fa"),
    "bin": ("--out", "bins"),
    "evaluate": ("--out", "run"),
}


class TestSequences:
    """What each verb reads."""

    def each(self, model, data):
        fasta("known.fa", KNOWN)
        for verb, more in VERBS.items():
            assert_refused("dna", verb, "--model", model, "--data", data, *more)
        assert_refused("dna", "classify", "--model", model, "--data", "known.fa", "--labelled",
                       data, "--out", "x.tsv")  # fmt: skip
        assert_refused("dna", "train", "--data", data, "--out", "run")

    @pytest.mark.parametrize("made", ["pickled", "deep", "zeros", "round", "no name"])
    def test_none(self, kept_model, made):
        if made == "round":
            Path("x.fa").symlink_to("x.fa")
        elif made == "zeros":
            Path("x.fa").symlink_to("/dev/zero")
        elif made == "no name":
            Path("x.fa").write_text(f"> {TERMINAL}\nACGT\n")
        else:
            {"pickled": pickled, "deep": deep}[made]("x.fa")
        self.each(kept_model, "x.fa")

    @pytest.mark.parametrize("verb", ["embed", "cluster", "bin", "evaluate"])
    def test_a_bomb(self, kept_model, a_bomb, verb):
        said = assert_refused("dna", verb, "--model", kept_model, "--data", a_bomb, *VERBS[verb])
        assert "unpacks to more than" in said

    def test_a_bomb_of_many_records(self, kept_model):
        many = bomb("x.fa.gz", again=b">r\n" + b"ACGT" * 2**18 + b"\n")
        said = assert_refused("dna", "embed", "--model", kept_model, "--data", many,
                              "--out", "x.parquet")  # fmt: skip
        assert "unpacks to more than" in said

    def test_of_genomes_and_of_labelled_ones(self, kept_model, a_bomb):
        Path("in").mkdir()
        Path("in/a__1.fna.gz").symlink_to(a_bomb)
        assert_refused("dna", "train", "--data", "in", "--out", "run")
        assert_refused("dna", "bench", "--data", "in", "--out", "run")
        fasta("x.fa", ["x"])
        assert_refused("dna", "classify", "--model", kept_model, "--data", "x.fa",
                       "--labelled", a_bomb, "--out", "x.tsv")  # fmt: skip


class TestGenomes:
    def refused(self, *more):
        return assert_refused("dna", "train", "--data", "in", "--out", "run", *more)

    def test_what_is_no_file_in_a_folder(self):
        fasta("in/a__1.fna", ["x"])
        for make in (
            lambda: Path("in/b.fna").symlink_to("../in/b.fna"),
            lambda: Path("in/b.fna").symlink_to("/dev/zero"),
            lambda: os.mkfifo("in/b.fna"),
            lambda: Path("in/b.fna").mkdir(),
        ):
            make()
            self.refused()
            Path("in/b.fna").rmdir() if Path("in/b.fna").is_dir() else Path("in/b.fna").unlink()
        Path("in/round").symlink_to("../in", target_is_directory=True)
        assert "one species only" in self.refused()

    @pytest.mark.parametrize("name", ["../out.fna", "{here}/out.fna", "x/../../out.fna", "n" * 5000,
                                      "a\0b", "", TERMINAL])  # fmt: skip
    def test_a_table_that_names_other_files(self, name):
        fasta("out.fna", ["x"])
        fasta("in/a.fna", ["x"])
        row = name.replace("{here}", str(Path.cwd()))
        Path("in/genomes.tsv").write_text(f"file\tspecies\na.fna\tA\n{row}\tB\n")
        assert "genomes.tsv, row 3: " in self.refused()

    def test_a_table_that_is_none(self):
        fasta("in/a.fna", ["x"])
        for table in (pickled("evil"), deep("deep"), "/dev/zero", "in/genomes.tsv"):
            Path("in/genomes.tsv").symlink_to(os.path.abspath(table))
            self.refused()
            Path("in/genomes.tsv").unlink()
        Path("in/genomes.tsv").write_text("file\tspecies\n" + "a" * 200_000 + "\tA\n")
        self.refused()

    def test_names_are_no_formulas_of_a_plot(self):
        fasta("in/$$__1.fna", ["x"])
        fasta("in/$\\frac{$__1.fna", ["x"], BASES[1:])
        fasta(f"in/{'n' * 200}__1.fna", ["x"], BASES[2:])
        assert status_of("dna", "train", "--data", "in", "--out", "run", "--quiet",
                         "--set=steps=1", "--set=fragments_a_genome=4",
                         "--set=shortest=500", "--set=longest=600") == (0, "")  # fmt: skip


class TestTables:
    def test_of_labels(self, kept_model):
        fasta("x.fa", ["a", "b"])
        for table in (pickled("evil"), deep("deep"), "/dev/zero"):
            assert_refused("dna", "train", "--data", "x.fa", "--labels", table, "--out", "run")
            assert_refused("dna", "classify", "--model", kept_model, "--data", "x.fa",
                           "--labelled", "x.fa", "--labels", table, "--out", "x.tsv")  # fmt: skip
            assert_refused("dna", "evaluate", "--model", kept_model, "--data", "x.fa",
                           "--labels", table, "--out", "run")  # fmt: skip

    def test_of_depths(self, kept_model):
        many = 4000
        fasta("x.fa", [f"c{n}" for n in range(many)], [BASES[0][:50]] * many)
        rows = "".join(f"c{n}\t1\t{n}\n" for n in range(many))
        Path("wide").write_text(
            "contigName\tcontigLen\ttotalAvgDepth" + "\ts" * 10**6 + "\n" + rows
        )
        Path("says").write_text(f"id\ta\t{TERMINAL}-var\n{rows}")
        Path("digits").write_text(rows + "c11\t1\t" + "9" * 10_000 + "\n")
        for table in ("wide", "says", "digits", pickled("evil"), deep("deep"), "/dev/zero"):
            said = assert_refused(
                "dna", "bin", "--model", kept_model, "--data", "x.fa", "--abundance", table,
                "--out", "bins", "--min-length", 20,
            )  # fmt: skip
            assert "\x1b" not in said


def a_tokenizer(**parts) -> str:
    """A tokenizer.json of the four bases, with some parts of a stranger's."""
    vocabulary = {"[PAD]": 0, "A": 1, "C": 2, "G": 3, "T": 4}
    added = {"id": 0, "content": "[PAD]", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}  # fmt: skip
    content = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [added],
        "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }  # fmt: skip
    return json.dumps(content | parts)


PAD = {"type": "TemplateProcessing", "pair": [], "special_tokens": {}}
PIECE = {"Sequence": {"id": "A", "type_id": 0}}
TOKENIZERS = {
    "a regular expression without end": {"pre_tokenizer": {
        "type": "Split", "pattern": {"Regex": "(A|C|AC|CA|AA|CC|G|T|GT)+N"},
        "behavior": "Isolated", "invert": False}},
    "and in a row of parts": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "(A+)+N"}, "behavior": "Isolated",
         "invert": False}]}},
    "a letter that becomes a million": {"normalizer": {
        "type": "Replace", "pattern": {"String": "A"}, "content": "C" * 10**6}},
    "a sequence taken again and again": {"post_processor": PAD | {"single": [PIECE] * 10**5}},
    "a token that the encoder has not": {"model": {
        "type": "BPE", "vocab": {"[PAD]": 0, "A": 2**31, "C": 2}, "merges": []}},
    "a word that is none": {"model": {
        "type": "WordLevel", "vocab": {"[PAD]": 0}, "unk_token": "[NO]"}},
    "words of any length": {"model": {
        "type": "WordPiece", "vocab": {"[PAD]": 0, "A": 1}, "unk_token": "[PAD]",
        "continuing_subword_prefix": "", "max_input_chars_per_word": 10**9}},
    "a model that is none": {"model": "BPE"},
    "parts that are none": {"normalizer": {"type": "Sequence", "normalizers": 7}},
}  # fmt: skip


class TestTokenizers:
    def refused(self, *more):
        fasta("x.fa", KNOWN)
        return assert_refused(
            "dna", "train", "--data", "x.fa", "--out", "run", "--set=encoder=transformer",
            "--set=tokenizer=evil.json", "--set=fragments_a_genome=4", "--set=width=16",
            "--set=hidden=8", "--set=depth=1", "--set=steps=1", *more,
        )  # fmt: skip

    @pytest.mark.parametrize("name", TOKENIZERS)
    def test_of_training(self, name):
        Path("evil.json").write_text(a_tokenizer(**TOKENIZERS[name]))
        assert "okenizer" in self.refused()

    def test_files(self):
        for make in (pickled, deep):
            make("evil.json")
            self.refused()
        Path("evil.json").write_text("[]")
        self.refused()
        Path("evil.json").unlink()
        Path("evil.json").symlink_to("/dev/zero")
        self.refused()

    def test_as_published_they_are_read(self):
        from nearfar_dna.tokenizer import tokenizer_of

        ends = PAD | {"single": [{"SpecialToken": {"id": "[PAD]", "type_id": 0}}, PIECE],
                      "special_tokens": {"[PAD]": {"id": "[PAD]", "ids": [0],
                                                   "tokens": ["[PAD]"]}}}  # fmt: skip
        pieces = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
        text = a_tokenizer(
            post_processor=ends,
            normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, pieces]},
            pre_tokenizer={"type": "Whitespace"},
        )
        assert tokenizer_of(text, "a file").encode("ACGT").ids == [0, 1, 2, 3, 4]


SIZES = {"vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
         "intermediate_size": 4}  # fmt: skip


class TestPublishedWeights:
    def folder(self, **changed):
        import torch
        from safetensors.torch import save_file

        Path("published").mkdir()
        Path("published/config.json").write_text(json.dumps(SIZES | changed))
        Path("published/tokenizer.json").write_text(a_tokenizer())
        save_file({"bert.pooler.bias": torch.zeros(4)}, "published/model.safetensors")

    def refused(self):
        fasta("x.fa", KNOWN)
        said = assert_refused("dna", "embed", "--model", "published", "--data", "x.fa",
                              "--out", "x.npy")  # fmt: skip
        assert_refused("dna", "train", "--data", "x.fa", "--out", "run", "--set=encoder=dnabert",
                       "--set=pretrained=published", "--set=fragments_a_genome=4")  # fmt: skip
        return said

    @pytest.mark.parametrize("name", SIZES)
    @pytest.mark.parametrize("size", [2**29, 2**70])
    def test_sizes_beyond_the_file(self, name, size):
        self.folder(**{name: size})
        self.refused()

    def test_files(self):
        self.folder()
        for file, makes in (
            ("model.safetensors", (pickled, torch_pickled, huge_safetensors, deep)),
            ("tokenizer.json", (pickled, deep)),
            ("config.json", (pickled, deep)),
        ):
            for make in makes:
                make(f"published/{file}")
                self.refused()

    def test_a_pickle_beside_it(self):
        self.folder()
        Path("published/model.safetensors").unlink()
        torch_pickled("published/pytorch_model.bin")
        assert "is pickled and not read" in self.refused()

    def test_names_of_tensors(self):
        import torch
        from safetensors.torch import save_file

        self.folder()
        save_file({TERMINAL: torch.zeros(2)}, "published/model.safetensors")
        assert "\x1b" not in self.refused()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("make", [pickled, torch_pickled, huge_safetensors, deep])
def test_models_that_are_none(verb, make):
    fasta("known.fa", KNOWN)
    make("run/checkpoint/model.safetensors")
    assert_refused("dna", verb, "--model", "run", "--data", "known.fa", *VERBS[verb])


BIG = {"width": 2**16, "hidden": 2**20, "depth": 1000, "kmers": [8] * 8}
MODELS = {
    "another format": {"format": "x"},
    "no settings": {"settings": 5},
    "unknown settings": {"settings": {"evil": 1}},
    "settings out of bounds": {"settings": {"width": 2**40, "depth": 2**40, "kmers": [30]}},
    "settings beyond the file": {"settings": BIG},
    "many layers": {"settings": {"encoder": "transformer", "depth": 1000, "width": 2**16},
                    "tokenizer": a_tokenizer()},
    "no tokenizer": {"settings": {"encoder": "dnabert"}},
    "a tokenizer that is none": {"settings": {"encoder": "dnabert"}, "tokenizer": "{}"},
    "a tokenizer that is a number": {"settings": {"encoder": "dnabert"}, "tokenizer": 7},
    "a tokenizer nested deeply": {"settings": {"encoder": "dnabert"}, "tokenizer": "[" * 10**5},
    "weights that are none": {"encoder": 5},
    "a weight that is none": {"encoder": {"mean": "x"}},
    "genomes that are none": {"learnt_from": [5]},
}  # fmt: skip


class TestModels:
    def refused(self):
        fasta("x.fa", KNOWN)
        return assert_refused("dna", "embed", "--model", "evil.safetensors", "--data", "x.fa",
                              "--out", "x.npy")  # fmt: skip

    @pytest.mark.parametrize("name", MODELS)
    def test_that_do_not_hold_together(self, kept_model, name):
        from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint

        save_checkpoint("evil.safetensors", load_checkpoint(kept_model) | MODELS[name])
        self.refused()

    def test_weights_that_are_no_numbers(self, kept_model):
        from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint

        state = load_checkpoint(kept_model)
        state["encoder"]["mean"][0] = float("nan")
        save_checkpoint("evil.safetensors", state)
        assert "holds NaN" in self.refused()

    @pytest.mark.parametrize(
        "skeleton",
        ["[" * 10**5, "5", '{"list": [1]}', '{"dict": [[[], 1]]}', "9" * 9999,
         '{"dict": [["format", {"tensor": "1"}]]}'],
    )  # fmt: skip
    def test_headers(self, skeleton):
        import torch
        from safetensors.torch import save_file

        save_file({"0": torch.zeros(1)}, "evil.safetensors", metadata={"nearfar": skeleton})
        self.refused()

    @pytest.mark.parametrize("kept", ["pickled", "5", "x", "done"])
    def test_a_run_to_go_on_with(self, kept):
        from nearfar_dna.settings import DnaSettings
        from nearfar_kit.checkpoint import save_checkpoint
        from nearfar_kit.settings import as_yaml

        fasta("x.fa", KNOWN)
        small = {"steps": 1, "fragments_a_genome": 4, "width": 4, "hidden": 4}
        file = "run/checkpoint/training-c2lr.safetensors"
        if kept == "pickled":
            pickled(file)
        else:
            begun = {"seed": 0, "genomes": ["A", "B"], "species": ["A", "B"], "bases": 0}
            state = {"5": 5, "x": {"encoder": 1}, "done": {"done": "x"}}[kept]
            save_checkpoint(
                file, {"begun_with": begun, "state": state} if kept != "5" else {"a": 5}
            )
        Path("run/settings.yaml").write_text(as_yaml(DnaSettings(**small)))
        sets = [f"--set={name}={value}" for name, value in small.items()]
        Path("run/log.jsonl").touch()
        assert_refused("dna", "train", "--data", "x.fa", "--out", "run", "--resume", *sets)

    def test_a_benchmark_to_go_on_with(self):
        from nearfar_dna.bench import PROFILES
        from nearfar_dna.settings import DnaSettings
        from nearfar_kit.settings import as_yaml

        fasta("in.fa", [f"{n} s{n}" for n in range(8)])
        for content in ("[" * 10**5, "[5]", '[{"a": 1}]', '{"a": [1]}'):
            for fold in range(2):
                part = Path(f"run/checkpoint/jobs/in_species_{fold}_TNF_0.json")
                part.parent.mkdir(parents=True, exist_ok=True)
                part.write_text(content)
            Path("run/log.jsonl").touch()
            settings = DnaSettings(**PROFILES["smoke"].settings)
            Path("run/settings.yaml").write_text(as_yaml(settings))
            assert_refused("dna", "bench", "--data", "in.fa", "--out", "run", "--profile", "smoke",
                           "--methods", "TNF", "--resume")  # fmt: skip


class TestWhatIsWritten:
    def test_ids_are_no_formulas_and_say_nothing_to_a_terminal(self, kept_model):
        formula = "=cmd|'/C"
        fasta("x.fa", [formula, "-1", f"a{TERMINAL}", f"a{TERMINAL}", *map(str, range(8))])
        told = [
            status_of("dna", "cluster", "--model", kept_model, "--data", "x.fa", "--clusters", 2,
                      "--out", "x.tsv"),
            status_of("dna", "bin", "--model", kept_model, "--data", "x.fa", "--out", "bins",
                      "--min-bin-size", 1),
        ]  # fmt: skip
        for status, said in told:
            assert status == 0
            assert "\x1b" not in said
        for table in ("x.tsv", "bins/bins.tsv"):
            rows = Path(table).read_text().splitlines()
            assert any(row.startswith(f"'{formula}\t") for row in rows)
            assert not any(row.startswith("=") for row in rows)
        fasta("known.fa", [f"a {formula}", f"b {formula}", "c @x", "d @x"])
        status_of("dna", "classify", "--model", kept_model, "--data", "x.fa", "--unknown", 0,
                  "--labelled", "known.fa", "--out", "y.tsv")  # fmt: skip
        cells = {row.split("\t")[2] for row in Path("y.tsv").read_text().splitlines()[1:]}
        assert cells <= {f"'{formula}", "'@x"}
