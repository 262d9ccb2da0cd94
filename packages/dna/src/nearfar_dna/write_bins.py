"""Bins of a file of contigs, as the field's tools read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar_dna.alphabet import decode
from nearfar_dna.binning import (
    UNBINNED,
    dbscan_bins,
    leiden_bins,
    neighbour_threshold,
    species_bins,
)
from nearfar_dna.composition import Floats, standardised, unit_rows
from nearfar_dna.depths import read_depths
from nearfar_dna.embed import embed_file
from nearfar_dna.model import DnaModel
from nearfar_dna.readers import Tally, read_sequences
from nearfar_kit.atomic import new_folder, write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.printable import printable
from nearfar_kit.spreadsheet import harmless

__all__ = ["bin_file", "biobox", "with_abundance"]

WIDTH = 80  # bases of a line
LEAST = 2  # contigs of a bin, whose size in bases decides otherwise


def bin_file(
    model: DnaModel,
    data: Path,
    out: Path,
    *,
    method: str,
    threshold: float | None,
    abundance: Path | None,
    min_length: int,
    min_bin_size: int,
    sample: str,
    seed: int,
) -> tuple[str, Tally]:
    """Writes ``bins.tsv``, ``bins/N.fna`` and ``unbinned.fna``; gives what to tell of them.

    A contig of ``min_bin_size`` bases or more that falls in no bin is one by itself.

    Raises:
        UserError: ``out`` exists, or the data cannot be used.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise UserError(f"--out {out}: is there already; expected a new folder")
    table, rows, tally = embed_file(model, data, min_length)
    lengths = table["length"].to_numpy()
    told = []
    if abundance is not None:
        samples, depths = read_depths(abundance, table["id"].to_list(), lengths.tolist())
        rows = with_abundance(rows, depths)
        several = f"{len(samples)} sample{'s' * (len(samples) > 1)}"
        told.append(f"{abundance}: depths in {several}: {printable(', '.join(samples))}")
    at = neighbour_threshold(rows, seed=seed) if threshold is None else threshold
    make = {"medoid": species_bins, "dbscan": dbscan_bins, "leiden": leiden_bins}[method]
    bins = _of_size(make(rows, at, least=LEAST), lengths, min_bin_size)
    with new_folder(out) as place:
        (place / "bins").mkdir()
        write_atomic(place / "bins.tsv", biobox(table["id"].to_list(), bins, lengths, sample))
        _write_fasta(data, min_length, table["id"].to_list(), bins, place)
    count = int(bins.max()) + 1
    share = float(lengths[bins != UNBINNED].sum() / lengths.sum())
    told.append(
        f"{count} bins with {share:.0%} of the bases of the {len(lengths):,} contigs of "
        f"{min_length:,} bp and more, threshold {at:.3f}: {out}"
    )
    return "\n".join(told), tally


def with_abundance(rows: Floats, depths: Floats) -> Floats:
    """Unit rows of embedding and log depth together, each of the same weight.

    Args:
        depths: [N, samples].
    """
    profile = standardised(np.log1p(depths))
    # Contigs of equal depths: no cosine of nothing.
    ones = np.ones((len(profile), 1), np.float32)
    return unit_rows(np.concatenate([rows, unit_rows(np.concatenate([profile, ones], 1))], 1))


def biobox(ids: list[str], bins: NDArray[np.int64], lengths: NDArray[np.int64], sample: str) -> str:
    """The binned contigs in the format of CAMI and AMBER; no id is a spreadsheet's formula."""
    head = f"@Version:0.9.1\n@SampleID:{sample}\n\n@@SEQUENCEID\tBINID\t_LENGTH\n"
    lines = [
        f"{harmless(name)}\t{number}\t{length}\n"
        for name, number, length in zip(ids, bins.tolist(), lengths.tolist(), strict=True)
        if number != UNBINNED
    ]
    return head + "".join(lines)


def _of_size(bins: NDArray[np.int64], lengths: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Bins of so many bases, numbered by size; large contigs alone are bins too."""
    own = bins.copy()
    alone = np.flatnonzero((bins == UNBINNED) & (lengths >= max(least, 1)))
    if least > 0:
        own[alone] = bins.max(initial=-1) + 1 + np.arange(len(alone))
    binned = own != UNBINNED
    size = np.bincount(own[binned], weights=lengths[binned], minlength=1)
    order = [number for number in np.argsort(-size, kind="stable") if size[number] > 0]
    out = np.full(len(bins), UNBINNED, np.int64)
    for new, number in enumerate(number for number in order if size[number] >= least):
        out[own == number] = new
    return out


def _write_fasta(
    data: Path, min_length: int, ids: list[str], bins: NDArray[np.int64], out: Path
) -> None:
    """The file is read once more: contigs go to their bins as they come."""
    bin_of = dict(zip(ids, bins.tolist(), strict=True))
    for place in [
        out / "unbinned.fna",
        *(out / "bins" / f"{n}.fna" for n in set(bins.tolist()) - {UNBINNED}),
    ]:
        place.write_text("")
    for sequence in read_sequences(data, min_length=min_length, tally=Tally()):
        number = bin_of[sequence.id]
        place = out / "unbinned.fna" if number == UNBINNED else out / "bins" / f"{number}.fna"
        text = decode(sequence.codes)
        lines = [text[at : at + WIDTH] for at in range(0, len(text), WIDTH)]
        with place.open("a", encoding="utf-8") as file:
            file.write(f">{sequence.id}\n" + "\n".join(lines) + "\n")
