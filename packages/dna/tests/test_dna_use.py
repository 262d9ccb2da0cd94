"""Bins, clusters, few labels, protocols, and the command line over them."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from nearfar_dna.baselines import TARGET
from nearfar_dna.binning import (
    UNBINNED,
    dbscan_bins,
    leiden_bins,
    neighbour_threshold,
    species_bins,
)  # fmt: skip
from nearfar_dna.cli import app
from nearfar_dna.clustering import k_means
from nearfar_dna.composition import unit_rows
from nearfar_dna.embed import read_embedding
from nearfar_dna.evaluate import (
    behind,
    binned_as_published,
    binned_species,
    cluster_scores,
    few_shot_f1,
    labelled_threshold,
    species_f1,
)
from nearfar_dna.report import write_comparison
from nearfar_kit.errors import UserError
from nearfar_kit.metrics import Metrics, Record
from nearfar_kit.report import Report


def blobs(groups=4, each=30, spread=0.1, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.eye(groups, 8)
    labels = np.repeat(np.arange(groups), each)
    rows = centres[labels] + spread * rng.standard_normal((len(labels), 8))
    return unit_rows(rows.astype(np.float32)), labels


def call(*arguments):
    app([str(a) for a in arguments], standalone_mode=False)


@pytest.mark.parametrize("make", [species_bins, dbscan_bins, leiden_bins])
def test_bins_find_what_lies_apart(make):
    rows, labels = blobs()
    bins = make(rows, neighbour_threshold(rows))
    assert (species_f1(labels, bins) > 0.8).all()


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.9])
def test_bins_are_those_of_the_dense_definition(unit, threshold, monkeypatch):
    from nearfar_dna import binning

    monkeypatch.setattr(binning, "BLOCK", 16)
    # Sums are made anew each time.
    rows, _ = blobs(spread=0.3, seed=2)
    found = species_bins(rows, threshold, least=1, unit_medoids=unit)
    free, number = np.ones(len(rows), bool), 0
    expected = np.full(len(rows), UNBINNED)
    s = rows.astype(np.float64) @ rows.T
    s[s < threshold] = 0
    while free.any():
        first = np.where(free, s[:, free].sum(1), -np.inf).argmax()
        medoid = rows[first]
        for _ in range(3):
            near = np.flatnonzero(free & (rows @ medoid >= threshold))
            if not len(near):
                break
            within, medoid = near, rows[near].mean(0)
            medoid = medoid / np.linalg.norm(medoid) if unit else medoid
        expected[within] = number
        free[within] = free[first] = False
        number += 1
    pairs = {(a, b) for a, b in zip(found.tolist(), expected.tolist(), strict=True)}
    assert len(pairs) == len(set(found.tolist())) == len(set(expected.tolist()))
    assert np.array_equal(found == UNBINNED, expected == UNBINNED)
    sizes = np.bincount(found[found != UNBINNED])
    assert (np.diff(sizes) <= 0).all()


def test_small_bins_are_unbinned_and_the_others_keep_their_sequences():
    rows, _ = blobs(spread=0.3, seed=2)
    whole, some = (species_bins(rows, 0.6, least=least) for least in (1, 5))
    size = np.bincount(whole)[whole]
    assert np.array_equal(some != UNBINNED, size >= 5)
    assert np.array_equal(some[size >= 5], whole[size >= 5])


def test_the_threshold_is_a_quantile_of_the_farthest_neighbour():
    rows, _ = blobs(spread=0.3)
    farthest = np.sort(rows @ rows.T, axis=1)[:, -21]
    assert neighbour_threshold(rows) == pytest.approx(np.quantile(farthest, 0.3), abs=1e-6)
    assert neighbour_threshold(rows[:1]) == 1.0


def test_the_papers_threshold_is_of_products_with_the_own_mean():
    rows, labels = blobs(groups=3, each=5, spread=0.4)
    near = [row @ np.mean([r for r, o in zip(rows, labels, strict=True) if o == own], axis=0)
            for row, own in zip(rows, labels, strict=True)]  # fmt: skip
    assert labelled_threshold(3 * rows, labels) == pytest.approx(np.quantile(near, 0.7), abs=1e-6)


def test_the_papers_binning_does_not_count_what_is_unbinned():
    rows, labels = blobs(groups=2, each=40, spread=0.02)
    far = unit_rows(np.eye(8, dtype=np.float32)[2:8])  # of species 0, alike none of it
    rows, labels = np.concatenate([rows, far, far, far, far, far]), np.append(labels, [0] * 30)
    paper = binned_as_published(rows, labels, *blobs(groups=2, each=40, spread=0.2))
    assert paper["published>0.9"] == 1.0
    assert binned_species(rows, labels)["binned>0.9"] == 0.5


def test_unbinned_sequences_count_against_a_species():
    labels = np.repeat([0, 1], 10)
    bins = labels.copy()
    assert species_f1(labels, bins).tolist() == [1, 1]
    bins[:5] = UNBINNED
    assert species_f1(labels, bins) == pytest.approx([2 / 3, 1])


def test_protocols_on_what_lies_apart_and_on_noise():
    rows, labels = blobs()
    assert cluster_scores(rows, labels, 0)["ari"] > 0.7
    assert few_shot_f1(rows, labels, 5, 0) > 0.95
    noise = np.random.default_rng(0).standard_normal(rows.shape).astype(np.float32)
    assert cluster_scores(noise, labels, 0)["ari"] < 0.1
    assert few_shot_f1(noise, labels, 2, 0) < 0.5


def test_the_number_of_clusters_is_found():
    rows, _ = blobs(groups=5, each=40)
    assert abs(len(np.unique(k_means(rows))) - 5) <= 2
    assert len(np.unique(k_means(rows[:2], 5))) == 2


def test_embedding_in_both_forms(run_folder, genome_file, tmp_path):
    for name in ("x.npy", "x.parquet"):
        call("embed", "--model", run_folder, "--data", genome_file, "--out", tmp_path / name)
    (ids, rows), (same, again) = (read_embedding(tmp_path / n) for n in ("x.npy", "x.parquet"))
    assert ids == same
    assert len(ids) == 30
    assert np.array_equal(rows, again)
    with pytest.raises(UserError, match=r"expected \.npy or \.parquet"):
        call("embed", "--model", run_folder, "--data", genome_file, "--out", tmp_path / "x.txt")


def test_what_was_readable_is_kept_and_the_damage_told(run_folder, tmp_path):
    path = tmp_path / "cut.fq"
    read = "ACGTTGCA" * 200
    path.write_text(f"@a\n{read}\n+\n{'I' * len(read)}\n@b\nACGT\n+\nI")
    with pytest.raises(UserError, match="the 1 sequences that are well are written"):
        call("embed", "--model", run_folder, "--data", path, "--out", tmp_path / "x.npy")
    assert read_embedding(tmp_path / "x.npy")[0] == ["a"]


def test_more_clusters_than_sequences_and_clusters_without_any(
    run_folder, genome_file, tmp_path, capsys
):
    out = tmp_path / "c.tsv"
    ask = ["cluster", "--model", run_folder, "--data", genome_file, "--out", out]
    with pytest.raises(UserError, match=r"--clusters 9999: .* has \d+ sequences of 1000 b"):
        call(*ask, "--clusters", 9999)
    assert not out.exists()
    genome_file = tmp_path / "same.fa"
    genome_file.write_text("".join(f">c{n}\n{'ACGTTGCAAC' * 200}\n" for n in range(4)))
    ask[4] = genome_file
    call(*ask, "--clusters", 3)
    assert "note: 3 clusters were asked for; 2 of them got no sequence\n" in capsys.readouterr().err


def test_clusters_and_labels(run_folder, genome_file, tmp_path):
    call("cluster", "--model", run_folder, "--data", genome_file, "--clusters", 6,
         "--out", tmp_path / "c.tsv")  # fmt: skip
    assert pl.read_csv(tmp_path / "c.tsv", separator="\t")["cluster"].n_unique() == 6
    for method in ("prototypes", "probe"):
        out = tmp_path / f"{method}.tsv"
        call("classify", "--model", run_folder, "--data", genome_file, "--labelled", genome_file,
             "--method", method, "--unknown", 0.0, "--out", out)  # fmt: skip
        found = pl.read_csv(out, separator="\t")
        truth = [f"species {int(name[1]):02d}" for name in found["id"]]
        assert (found["species"] == pl.Series(truth)).mean() > 0.8
        assert found["probability"].is_between(0, 1).all()
    call("classify", "--model", run_folder, "--data", genome_file, "--labelled", genome_file,
         "--unknown", 1.0, "--out", tmp_path / "none.tsv")  # fmt: skip
    none = pl.read_csv(tmp_path / "none.tsv", separator="\t")
    assert (none["species"] == "unknown").all()
    assert none["nearest"].n_unique() > 1


def test_classify_tells_how_many_species_it_was_given(run_folder, genome_file, tmp_path, capsys):
    known = tmp_path / "k141.fa"
    text = genome_file.read_text()
    for number in range(30):
        text = text.replace(f" species {number % 6:02d}\n", f" flag=1 len={4000 + number}\n", 1)
    known.write_text(text)
    arguments = ("classify", "--model", run_folder, "--data", genome_file, "--out", tmp_path / "o")
    call(*arguments, "--labelled", genome_file)
    out, err = capsys.readouterr()
    assert out.startswith(f"{genome_file}: 30 sequences of 6 species\n")
    assert err == ""
    call(*arguments, "--labelled", known)
    out, err = capsys.readouterr()
    assert out.startswith(f"{known}: 30 sequences of 30 species\n")
    assert "note: " in err
    assert "each sequence is a species of its own, by its header after the id; the first is" in err
    assert "'flag=1 len=4000'; expected '>id SPECIES', or a --labels TSV of id and species" in err


def test_what_is_not_installed_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(UserError, match=r"method leiden: pip install 'nearfar-dna\[leiden\]'"):
        leiden_bins(np.eye(3), 0.5)


@pytest.mark.parametrize("method", ["medoid", "dbscan", "leiden"])
def test_bins_of_a_file(run_folder, genome_file, tmp_path, method):
    depths = tmp_path / "depths.tsv"
    depths.write_text("".join(f"c{n}_{p}\t{1 + 9 * n}\t{30 - n}\n"
                              for n in range(6) for p in range(5)))  # fmt: skip
    out = tmp_path / "bins"
    call("bin", "--model", run_folder, "--data", genome_file, "--out", out, "--method", method,
         "--abundance", depths, "--min-bin-size", 8000, "--min-length", 1000)  # fmt: skip
    lines = (out / "bins.tsv").read_text().splitlines()
    assert lines[0] == "@Version:0.9.1"
    assert lines[3] == "@@SEQUENCEID\tBINID\t_LENGTH"
    contigs = {}
    for file in [*(out / "bins").iterdir(), out / "unbinned.fna"]:
        names = [x[1:] for x in file.read_text().splitlines() if x.startswith(">")]
        contigs |= dict.fromkeys(names, file.stem)
        assert file.stem == "unbinned" or len(names) >= 2
    assert len(contigs) == 30
    told = {row.split("\t")[0]: row.split("\t")[1] for row in lines[4:]}
    assert told == {name: bin for name, bin in contigs.items() if bin != "unbinned"}
    assert told
    with pytest.raises(UserError, match="is there already"):
        call("bin", "--model", run_folder, "--data", genome_file, "--out", out)


def test_two_contigs_are_no_failure(run_folder, genomes, tmp_path):
    from nearfar_dna.alphabet import decode

    path = tmp_path / "two.fa"
    text = decode(genomes.genomes[0].pieces[0])
    path.write_text(f">a\n{text}\n>b\n{text[:5000]}\n")
    call("bin", "--model", run_folder, "--data", path, "--out", tmp_path / "o",
         "--min-bin-size", 10_000)  # fmt: skip
    assert "a\t0\t20000" in (tmp_path / "o" / "bins.tsv").read_text()
    # None is as near as that: the large one is a bin by itself.
    call("bin", "--model", run_folder, "--data", path, "--out", tmp_path / "alone",
         "--min-bin-size", 10_000, "--threshold", 1.0)  # fmt: skip
    assert (tmp_path / "alone" / "bins.tsv").read_text().splitlines()[4:] == ["a\t0\t20000"]
    assert (tmp_path / "alone" / "unbinned.fna").read_text().startswith(">b\n")
    call("cluster", "--model", run_folder, "--data", path, "--out", tmp_path / "c.tsv")


def test_evaluate_leaves_a_report_and_says_what_was_trained_on(
    run_folder, genome_file, tmp_path, capsys
):
    arguments = ("evaluate", "--model", run_folder, "--length", 500, "--per-species", 15)
    call(*arguments, "--data", genome_file, "--out", tmp_path / "e")
    assert (tmp_path / "e" / "report.html").exists()
    out, err = capsys.readouterr()
    assert out.startswith("6 genomes of 6 species\n")
    assert "6 species, 6 of them trained on, 500 bp." in out
    assert "note: trained on: 6 of these genomes, 6 of these 6 species (by their names: " in err
    new = tmp_path / "new.fa"
    for n, name in enumerate("AB"):
        bases = "".join(np.random.default_rng(n).choice(list("ACGT"), 3000))
        with new.open("a") as file:
            file.write(f">{name}1 {name}\n{bases[:1500]}\n>{name}2 {name}\n{bases[1500:]}\n")
    call(*arguments, "--data", new, "--out", tmp_path / "n")
    out, err = capsys.readouterr()
    assert err == ""
    assert "2 species, 500 bp." in out


def test_evaluate_says_where_the_model_is_below_composition(
    run_folder, genome_file, tmp_path, capsys, monkeypatch
):
    from nearfar_dna import evaluate

    def scores(rows, labels, seed):
        return {"ari": 0.9 if rows.shape[1] > 16 else 0.8}

    monkeypatch.setattr(evaluate, "cluster_scores", scores)
    call("evaluate", "--model", run_folder, "--length", 500, "--per-species", 15,
         "--data", genome_file, "--out", tmp_path / "e")  # fmt: skip
    found = {}
    for record in json.loads((tmp_path / "e" / "metrics.json").read_text())["records"]:
        found.setdefault(record["method"], {})[record["metric"]] = record["value"]
    told = behind(found["trained"], found[TARGET], TARGET)
    assert re.match(rf"the trained model is below {TARGET} in \d+ of 10 measures: ari", told)
    assert f"{told}\n" in capsys.readouterr().out
    report = (tmp_path / "e" / "report.html").read_text()
    assert f"Here {told}." in report.replace("&gt;", ">")
    assert "f1@2: two labelled sequences of each species" in report
    assert behind({"ari": 0.1}, {"ari": 0.9}, "X") == (
        "the trained model is below X in all 1 measures: ari"
    )
    assert behind({"ari": 0.9}, {"ari": 0.9}, "X") == ""


def test_evaluate_on_one_species_is_refused(run_folder, tmp_path):
    one = tmp_path / "one.fa"
    one.write_text(f">x A\n{'ACGTTGCA' * 200}\n")
    with pytest.raises(UserError, match=r"one\.fa: one species only \(A\); expected two or more"):
        call("evaluate", "--model", run_folder, "--data", one, "--out", tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_train_tells_what_it_learnt_from(genome_file, tmp_path, capsys):
    call("train", "--data", genome_file, "--out", tmp_path / "r", "--device", "cpu", "--quiet",
         "--set=steps=1", "--set=fragments_a_genome=4", "--set=width=8",
         "--set=min_length=500")  # fmt: skip
    out, _ = capsys.readouterr()
    assert out.startswith("6 genomes of 6 species\n")
    assert "trained: 1 steps of c2lr; nothing was held out" in out
    assert "It tells nothing of species that are new" in (tmp_path / "r/report.html").read_text()


def test_a_benchmark_is_whole_and_gone_on_with(tmp_path, monkeypatch):
    from nearfar_dna import bench
    from nearfar_dna.alphabet import decode
    from nearfar_dna.simulate import simulate

    folder = tmp_path / "genomes"
    folder.mkdir()
    for number, genome in enumerate(simulate(species=8, bases=6000, seed=1).genomes):
        for strain in range(2 if number < 4 else 1):  # species 1 is for choosing settings
            name = f"s{number}__{strain}.fna"
            (folder / name).write_text(f">x\n{decode(genome.pieces[0][500 * strain :])}\n")
    seen = []

    def noted(work):
        return lambda genomes, *asked: seen.append(genomes) or work(genomes, *asked)

    monkeypatch.setattr(bench, "train", noted(bench.train))
    monkeypatch.setattr(bench, "draw_fragments", noted(bench.draw_fragments))
    arguments = ("bench", "--data", folder, "--out", tmp_path / "b", "--profile", "smoke",
                 "--quiet", "--methods", "TNF;MI-Mix", "--splits", "species;strain",
                 "--processes", 1,
                 "--set=steps=2", "--set=fragments_a_genome=4", "--set=width=8")  # fmt: skip
    call(*arguments)
    table = (tmp_path / "b" / "table.md").read_text()
    assert "| MI-Mix |" in table
    assert "less that of" not in table  # nothing to be compared with
    assert "strains not seen in training" in table
    trained = [(known, test) for known, test in pairwise(seen) if len(known.genomes) > 5]
    for known, test in trained[:2]:
        assert not set(known.names) & set(test.names)
        assert {"s1", "s5"} <= set(known.names)
    known, test = trained[2]
    assert [g.name for g in test.genomes] == ["s0__1.fna", "s2__1.fna", "s3__1.fna"]
    assert len(known.genomes) == 9
    monkeypatch.setattr(bench, "train", None)  # all is done: nothing is done again
    call(*arguments, "--resume")
    assert (tmp_path / "b" / "table.md").read_text().split("date")[0] == table.split("date")[0]


def test_gains_are_over_the_target_of_the_same_seed(tmp_path):
    found = {  # of seeds 0 and 1, each the mean of two folds
        TARGET: ((0.1, 0.3), (0.4, 0.6)),
        "curriculum": ((0.3, 0.5), (0.6, 0.6)),
    }
    records = [
        Record("g", f"by=species,length=5000,errors=0.0,fold={fold}", method, seed, metric, ari, 9)
        for method, seeds in found.items()
        for seed, folds in enumerate(seeds)
        for fold, ari in enumerate(folds)
        for metric in ("ari", "f1@2")
    ]
    metrics = Metrics("dna", "bench", {}, "cpu", "", "", records)
    write_comparison(tmp_path, metrics, Report("", ""))
    parts = (tmp_path / "table.md").read_text().split("\n\n")
    gained = parts[next(n for n, part in enumerate(parts) if "ARI less that of" in part) + 1]
    assert gained.splitlines()[2:] == ["| curriculum | +0.150 ± 0.071 |"]
