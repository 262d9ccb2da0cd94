"""Labelled genomes: what training draws its pairs from."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nearfar_dna.alphabet import Codes
from nearfar_dna.headers import species_of_header
from nearfar_dna.labels import read_labels
from nearfar_dna.readers import Tally, is_sequence_file, read_sequences, without_ending
from nearfar_kit.errors import UserError
from nearfar_kit.paths import inside
from nearfar_kit.text_files import read_text

__all__ = ["Genome", "Genomes", "read_genomes"]


TABLE = "genomes.tsv"  # in a folder: columns file and species


@dataclass(frozen=True)
class Genome:
    """One genome of a species, as the pieces that its assembly has."""

    name: str
    species: str
    pieces: tuple[Codes, ...]

    @property
    def fingerprint(self) -> str:
        """The same for the same bases in the same pieces, whatever the file is called."""
        mark = hashlib.sha256()
        for piece in self.pieces:
            mark.update(len(piece).to_bytes(8, "little") + piece.tobytes())
        return mark.hexdigest()[:32]


@dataclass(frozen=True)
class Genomes:
    """Genomes, species by number.

    Attributes:
        notes: what was taken for granted in reading, a line each.
        names: of species, sorted.
        species: [G] the number of each genome's species.
    """

    genomes: tuple[Genome, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.genomes:
            raise UserError("no genome is left; expected one or more")

    @property
    def names(self) -> list[str]:
        return sorted({genome.species for genome in self.genomes})

    @property
    def species(self) -> NDArray[np.int64]:
        number = {name: n for n, name in enumerate(self.names)}
        return np.array([number[genome.species] for genome in self.genomes])

    @property
    def counted(self) -> str:
        """How many genomes of how many species."""
        genomes = f"{len(self.genomes)} genome{'s' * (len(self.genomes) > 1)}"
        return f"{genomes} of {len(self.names)} species"

    def of_species(self, names: Iterable[str]) -> Genomes:
        """The genomes of these species alone."""
        wanted = set(names)
        return Genomes(tuple(genome for genome in self.genomes if genome.species in wanted))

    def strains_held_out(self, species: Iterable[str] | None = None) -> tuple[Genomes, Genomes]:
        """The rest, of all species; and the last genome of each that has several.

        Args:
            species: of which genomes are held out; None: of all.

        Raises:
            UserError: no species has several genomes.
        """
        last = {genome.species: genome.name for genome in self.genomes}
        wanted = set(last if species is None else species)
        held_out = {
            last[name]
            for name in wanted & last.keys()
            if sum(genome.species == name for genome in self.genomes) > 1
        }
        return (
            Genomes(tuple(g for g in self.genomes if g.name not in held_out)),
            Genomes(tuple(g for g in self.genomes if g.name in held_out)),
        )


def read_genomes(
    path: str | Path, labels: str | Path | None = None, *, min_length: int = 2000
) -> Genomes:
    """Genomes of a folder or a file, with their species.

    - A folder of FASTA files: one genome a file. Its species is that of its row in ``labels``, by
      the file's name, with its ending or without; or else in the folder's ``genomes.tsv`` (columns
      ``file`` and ``species``); or else the name up to ``__`` or the ending.
    - A file: species from ``labels`` (columns id and species), or else from the header after the
      id, of which NCBI's are understood. All of a species' records are one genome: a record that
      is one of several strains can be told apart by a third column of ``labels``, its genome, or
      by an NCBI header.

    Where each file or record is a species of its own, though its name was not meant to tell, a note
    says what is expected.

    Args:
        min_length: of a piece; shorter ones are left out.

    Raises:
        UserError: a file is damaged or holds no DNA, or a species is not known.
    """
    path = Path(path)
    known = None if labels is None else read_labels(Path(labels))
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; expected genomes in FASTA")
    if path.is_dir():
        told = known is not None or os.path.lexists(path / TABLE)
        files = _labelled_files(path, known, labels) if known else _species_of_files(path)
        found = list(_of_files(files, min_length))
        notes = () if told else _notes_of_files(path, found)
        if len(found) < len(files):
            notes += (
                f"{path}: {len(files) - len(found)} of {len(files)} files left out: no sequence "
                f"has {min_length} bases, the setting min_length",
            )
    else:
        found, notes = _of_records(path, known, labels, min_length)
    if not found:
        raise UserError(
            f"{path}: no sequence has {min_length} bases; expected longer ones, or a smaller "
            "setting min_length"
        )
    return Genomes(tuple(found), notes)


def _sequence_files(folder: Path) -> list[Path]:
    files = [file for file in sorted(folder.rglob("*")) if is_sequence_file(file)]
    if not files:
        raise UserError(f"{folder}: holds no FASTA file; expected one a genome")
    for file in files:
        if not file.is_file():  # a pipe never ends, a link may go round
            raise UserError(f"{file}: is no file; expected FASTA or FASTQ")
    return files


def _labelled_files(
    folder: Path, known: dict[str, tuple[str, ...]], labels: str | Path | None
) -> list[tuple[Path, str]]:
    found = []
    for file in _sequence_files(folder):
        names = (str(file.relative_to(folder)), file.name, without_ending(file.name))
        species = next((known[name][0] for name in names if name in known), None)
        if species is None:
            raise UserError(
                f"{labels}: has no row for {file.name} of {folder}; expected {names[1]} or "
                f"{names[2]}, and its species"
            )
        found.append((file, species))
    return found


def _species_of_files(folder: Path) -> list[tuple[Path, str]]:
    table = folder / TABLE
    if not os.path.lexists(table):
        return [(file, file.name.split("__")[0].split(".")[0]) for file in _sequence_files(folder)]
    try:
        text = read_text(table, "file and species of each genome")
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t")
        columns, rows = list(reader.fieldnames or []), list(reader)
    except csv.Error as error:
        raise UserError(f"{table}: cannot be read ({error})") from None
    if not {"file", "species"} <= set(columns):
        shown = ", ".join(columns) or "none"
        raise UserError(f"{table}: has columns {shown}; expected file and species, a tab between")
    if not rows:
        raise UserError(f"{table}: has no row after its header; expected one a genome")
    found = []
    for number, row in enumerate(rows, 2):
        if not row["file"] or not row["species"]:
            raise UserError(f"{table}, row {number}: lacks its file or species; expected both")
        inside(folder, row["file"], f"{table}, row {number}")
        places = (folder / row["file"], folder / "genomes" / row["file"])
        file = next((place for place in places if os.path.isfile(place)), None)
        if file is None:
            raise UserError(f"{table}, row {number}: {row['file']} is not there")
        found.append((file, row["species"]))
    return found


def _of_files(files: Sequence[tuple[Path, str]], min_length: int) -> Iterator[Genome]:
    for file, species in files:
        tally = Tally()
        pieces = tuple(s.codes for s in read_sequences(file, min_length=min_length, tally=tally))
        if tally.mistake:
            raise UserError(tally.mistake)
        if pieces:
            yield Genome(file.name, species, pieces)


def _notes_of_files(folder: Path, genomes: Sequence[Genome]) -> tuple[str, ...]:
    plain = [g.name for g in genomes if "__" not in g.name]
    species = {genome.species for genome in genomes}
    if not plain or len(species) < len(genomes):
        return ()
    return (
        f"{folder}: each file is a species of its own, by its name up to '__', which {plain[0]} "
        "has not; expected SPECIES__STRAIN.fna, or a genomes.tsv or --labels of file and species, "
        "where a species has several genomes",
    )


def _of_records(
    path: Path,
    known: dict[str, tuple[str, ...]] | None,
    labels: str | Path | None,
    min_length: int,
) -> tuple[list[Genome], tuple[str, ...]]:
    pieces: dict[tuple[str, str], list[Codes]] = {}
    cut: dict[str, str] = {}  # headers that say more than a species, and the species
    for sequence in read_sequences(path, min_length=min_length):
        if known is None:
            if not sequence.description:
                raise UserError(
                    f"{path}: record {sequence.id} has no species after its id; expected one, or "
                    "--labels"
                )
            key = species_of_header(sequence.description)
            if key[0] != sequence.description:
                cut[sequence.description] = key[0]
        elif sequence.id in known:
            species = known[sequence.id]
            key = (species[0], species[1] if len(species) > 1 else species[0])
        else:
            raise UserError(f"{labels}: has no row for {sequence.id} of {path}")
        pieces.setdefault(key, []).append(sequence.codes)
    found = [Genome(genome, name, tuple(own)) for (name, genome), own in pieces.items()]
    return found, () if known else _notes_of_records(path, found, cut)


def _notes_of_records(
    path: Path, genomes: Sequence[Genome], cut: dict[str, str]
) -> tuple[str, ...]:
    notes = []
    if cut:
        first, species = next(iter(cut.items()))
        notes.append(
            f"{path}: {len(cut)} headers say more than a species; of {first!r} it is taken to be "
            f"{species!r}; a --labels TSV of id, species and genome says it otherwise"
        )
    if len({g.species for g in genomes}) == sum(len(g.pieces) for g in genomes) > 1:
        notes.append(
            f"{path}: each record is a species of its own, by its header after the id; expected "
            "'>id SPECIES', or a --labels TSV of id, species and genome, where one has several"
        )
    return tuple(notes)
