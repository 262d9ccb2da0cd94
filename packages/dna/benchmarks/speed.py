"""How fast and in how much memory: a long FASTA embedded, its contigs binned, encoders alone.

python packages/dna/benchmarks/speed.py --data ../shared/data/dna --out OUT
    [--megabases 1000] [--contigs 100000] [--what embed bin encoders]

FASTA files are made by tiling: pieces of the genomes at random places, which overlap where more is
asked for than there is. Each measurement is a process of its own, whose peak of memory is told;
what OUT holds of others is kept.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from nearfar_dna.alphabet import decode
from nearfar_dna.baselines import canonical_tnf
from nearfar_dna.embed import embed_to
from nearfar_dna.encoders import TokenEncoder, encode
from nearfar_dna.fragments import draw_fragment
from nearfar_dna.genomes import read_genomes
from nearfar_dna.model import DnaModel, new_encoder
from nearfar_dna.readers import read_sequences
from nearfar_dna.settings import DnaSettings
from nearfar_dna.tokenizer import learn_tokenizer
from nearfar_dna.train import train
from nearfar_dna.write_bins import bin_file
from nearfar_kit.atomic import write_atomic
from nearfar_kit.metrics import Metrics, Record, versions_of
from nearfar_kit.table import Table
from nearfar_kit.torchaudio_compat import ensure_torchaudio

LENGTH = 5000
TOKENS = {"encoder": "transformer", "width": 256, "depth": 4, "hidden": 1024, "heads": 4}


def tile(data: Path, out: Path, bases: int) -> int:
    """Contigs of 2.5 to 7.5 kb into a FASTA; how many."""
    genomes = read_genomes(data).genomes
    rng = np.random.default_rng(0)
    made = count = 0
    with out.open("w") as file:
        while made < bases:
            genome = genomes[count % len(genomes)]
            codes = draw_fragment(genome, int(rng.integers(2500, 7500)), rng)
            file.write(f">c{count}\n{decode(codes)}\n")
            made += len(codes)
            count += 1
    return count


def count_tnf(model: Path, fasta: Path, out: Path) -> int:
    """Canonical TNF of a file, some contigs at a time."""
    bases, some = 0, []
    for sequence in read_sequences(fasta):
        some.append(sequence.codes)
        bases += len(sequence)
        if len(some) == 800:
            canonical_tnf(some)
            some = []
    canonical_tnf(some)
    return bases


def embed(model: Path, fasta: Path, out: Path) -> int:
    return embed_to(DnaModel.load(model), fasta, out / "x.npy", 1000).bases


def bin_contigs(model: Path, fasta: Path, out: Path) -> int:
    told, tally = bin_file(
        DnaModel.load(model), fasta, out / "bins", method="medoid", threshold=None, abundance=None,
        min_length=1000, min_bin_size=200_000, sample="tiled", seed=0,
    )  # fmt: skip
    print(told, file=sys.stderr)
    return tally.bases


def ours(model: Path, fasta: Path, out: Path) -> int:
    return _of_tokens(lambda encoder, tokens: encode(encoder, tokens))


def of_transformers(model: Path, fasta: Path, out: Path) -> int:
    """The same layers by the transformers library: pre-norm, rotary, GELU, mean over tokens."""
    ensure_torchaudio()  # which transformers imports, and which does not fit every torch
    from transformers import EsmConfig, EsmModel

    config = EsmConfig(
        vocab_size=4096, mask_token_id=4, pad_token_id=3, hidden_size=TOKENS["width"],
        num_hidden_layers=TOKENS["depth"], num_attention_heads=TOKENS["heads"],
        intermediate_size=TOKENS["hidden"], position_embedding_type="rotary", token_dropout=False,
        max_position_embeddings=1024,
    )  # fmt: skip
    peer = EsmModel(config, add_pooling_layer=False).eval()

    def rows(encoder: TokenEncoder, tokens: torch.Tensor) -> torch.Tensor:
        mask = tokens.ne(encoder.padding)
        hidden = peer(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    return _of_tokens(rows)


def _of_tokens(rows: Callable[[TokenEncoder, torch.Tensor], torch.Tensor]) -> int:
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 4, 2400).astype(np.uint8) for _ in range(64)]
    encoder = new_encoder(DnaSettings(**TOKENS), learn_tokenizer(codes[:32])).eval()
    with torch.inference_mode():
        for start in range(0, len(codes), 32):
            rows(encoder, encoder.prepare(codes[start : start + 32]))
    return sum(map(len, codes))


def measured(
    task: Callable[[Path, Path, Path], int], model: Path, fasta: Path, out: Path, warm: bool
) -> dict[str, float]:
    """Megabases, processor and wall seconds, and MiB at the peak, of a process of its own.

    Args:
        warm: the second time is measured, without what is imported.
    """
    torch.set_num_threads(1)
    if warm:
        task(model, fasta, out)
    began, wall = time.process_time(), time.monotonic()
    bases = task(model, fasta, out)
    return {
        "megabases": bases / 1e6,
        "processor seconds": time.process_time() - began,
        "seconds": time.monotonic() - wall,
        "MiB at the peak": _peak(),
    }


def _peak() -> float:
    """Of this process alone: what getrusage tells of one that was forked is its parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--megabases", type=int, default=1000)
    parser.add_argument("--contigs", type=int, default=100_000)
    parser.add_argument("--what", nargs="+", default=["embed", "bin", "encoders"])
    asked = parser.parse_args()
    metrics = Metrics(
        "dna", "speed", versions_of("nearfar-dna", "numpy", "transformers"), "cpu, one thread", "",
        "",
    )  # fmt: skip
    kept = asked.out / "metrics.json"
    if kept.exists():
        metrics.add(Metrics.read(kept).records)
    asked.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool,
    ):
        here = Path(folder)
        model, fasta = here / "model.safetensors", here / "tiled.fna"
        train(read_genomes(asked.data), DnaSettings(), 0).save(model)

        def measure(name: str, task: Callable[[Path, Path, Path], int], warm: bool = False) -> None:
            found = pool.submit(measured, task, model, fasta, here, warm).result()
            found["Mb a processor second"] = found["megabases"] / found["processor seconds"]
            print(name, found, flush=True)
            metrics.records = [record for record in metrics.records if record.method != name]
            metrics.add(Record("tiled", "", name, 0, k, v, 1) for k, v in found.items())
            metrics.write(kept)
            write_atomic(asked.out / "table.md", rendered(metrics).markdown())

        if "embed" in asked.what:
            for megabases in (asked.megabases // 10, asked.megabases):
                tile(asked.data, fasta, megabases * 10**6)
                measure(f"embed, {megabases} Mb", embed)
            measure(f"canonical TNF, {megabases} Mb", count_tnf)
        if "bin" in asked.what:
            tile(asked.data, fasta, LENGTH * asked.contigs)
            measure(f"bin, {asked.contigs} contigs", bin_contigs)
        if "encoders" in asked.what:
            size = f"transformer of {TOKENS['depth']} x {TOKENS['width']}"
            measure(f"{size}, here", ours, warm=True)
            measure(f"{size}, by transformers", of_transformers, warm=True)


def figure(value: float) -> str:
    """Three digits, and all of those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def rendered(metrics: Metrics) -> Table:
    methods = list(dict.fromkeys(record.method for record in metrics.records))
    columns = list(dict.fromkeys(record.metric for record in metrics.records))
    value = {(record.method, record.metric): record.value for record in metrics.records}
    return Table(
        f"Tiled genomes, contigs of 2.5 to 7.5 kb; one thread, beside other work, {metrics.date}.",
        ["what", *columns],
        [[name, *(figure(value[name, column]) for column in columns)] for name in methods],
    )


if __name__ == "__main__":
    main()
