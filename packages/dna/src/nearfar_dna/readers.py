"""FASTA and FASTQ, plain or gzip, one record at a time."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from Bio.SeqIO.FastaIO import SimpleFastaParser
from Bio.SeqIO.QualityIO import FastqGeneralIterator

from nearfar_dna.alphabet import UNKNOWN, Codes, encode_dna
from nearfar_kit.errors import UserError
from nearfar_kit.gzip_files import open_gzip

__all__ = ["Sequence", "Tally", "is_sequence_file", "read_sequences", "without_ending"]

ENDINGS = (".fa", ".fasta", ".fna", ".ffn", ".fsa", ".fas", ".fq", ".fastq")
BROKEN = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True)
class Sequence:
    """A record: its id (the header's first word), the rest of the header, and its bases."""

    id: str
    description: str
    codes: Codes

    def __len__(self) -> int:
        return len(self.codes)


@dataclass
class Tally:
    """What a reading kept and left out.

    Attributes:
        share: of the file's bytes that were read.
        foreign: records of letters that are no bases. first_foreign: what is wrong with the first.
        damage: what is wrong with the rest of the file, where its end could not be read.
    """

    kept: int = 0
    bases: int = 0
    short: int = 0
    unknown: int = 0
    repeated: int = 0
    first_repeated: str = ""
    share: float = 0.0
    foreign: int = 0
    first_foreign: str = ""
    damage: str = ""

    def lines(self, min_length: int) -> list[str]:
        """One line for each thing that a user should know."""
        reasons = (
            (self.short, f"shorter than {min_length} bp"),
            (self.unknown, "more than half of the bases unknown"),
            (self.repeated, f"id of an earlier one, the first is {self.first_repeated}"),
        )
        return [
            f"{count} sequence{'s' * (count > 1)} left out: {reason}"
            for count, reason in reasons
            if count
        ]

    @property
    def mistake(self) -> str:
        """What is wrong with the file itself, after which it was not, or not wholly, read."""
        others = f" ({self.foreign} such records)" if self.foreign > 1 else ""
        parts = (f"{self.first_foreign}{others}" if self.foreign else "", self.damage)
        return "; ".join(part for part in parts if part)


def is_sequence_file(path: Path) -> bool:
    """Whether a file's name ends as those of sequences do."""
    return path.name.lower().removesuffix(".gz").endswith(ENDINGS)


def without_ending(name: str) -> str:
    """The name of a file of sequences without its endings.

    Example:
        >>> without_ending("GCF_000005845.2.fna.gz")
        'GCF_000005845.2'
    """
    plain = name[:-3] if name.lower().endswith(".gz") else name
    ending = next((one for one in ENDINGS if plain.lower().endswith(one)), "")
    return plain[: len(plain) - len(ending)]


def read_sequences(
    path: str | Path, *, min_length: int = 1, tally: Tally | None = None
) -> Iterator[Sequence]:
    """The records of a file, as they come; memory is that of the longest one and of all ids.

    Lower case and U are read as bases, other IUPAC codes as unknown, gaps are left out. What cannot
    be used is counted in ``tally``; where some records are no DNA or the end of the file is
    damaged, the others come all the same, and ``tally.mistake`` says so.

    Args:
        min_length: shorter ones are left out.
        tally: counts; None: a record that is no DNA is an error, and damage.

    Raises:
        UserError: no such file, no record, neither FASTA nor FASTQ; gzip that unpacks to more than
            its size lets expect.
    """
    path = Path(path)
    count = Tally() if tally is None else tally
    seen: set[str] = set()
    records = 0
    with _open(path) as (file, raw):
        size = max(1, path.stat().st_size)
        for number, (title, text) in enumerate(_records(path, file, count), 1):
            records = number
            count.share = raw.tell() / size
            name, _, description = title.partition(" ")
            if not name:
                raise UserError(f"{path}, record {number}: has no id; expected one after the mark")
            try:
                codes = encode_dna(text)
            except ValueError as error:
                count.foreign += 1
                wrong = f"{path}, record {number} ({name}): {error}"
                count.first_foreign = count.first_foreign or wrong
                if tally is None:
                    raise UserError(wrong) from None
                continue
            if len(codes) < min_length:
                count.short += 1
            elif 2 * int((codes == UNKNOWN).sum()) > len(codes):
                count.unknown += 1
            elif name in seen:
                count.repeated += 1
                count.first_repeated = count.first_repeated or name
            else:
                seen.add(name)
                count.kept += 1
                count.bases += len(codes)
                yield Sequence(name, description.strip(), codes)
    if tally is None and count.damage:
        raise UserError(count.damage)
    if not records and not count.damage:
        raise UserError(f"{path}: holds no sequence; expected FASTA or FASTQ")


@contextmanager
def _open(path: Path) -> Iterator[tuple[io.BufferedReader, io.BufferedReader]]:
    """What is in the file, and the file itself, which tells how far it was read."""
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            yield (open_gzip(raw, path) if packed else raw), raw
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _records(path: Path, file: io.BufferedReader, tally: Tally) -> Iterator[tuple[str, str]]:
    """Titles and letters; what breaks off is told in the tally."""
    try:
        while (mark := file.peek(1)[:1]).isspace():
            file.read(1)
    except BROKEN as error:
        raise UserError(f"{path}: is a damaged gzip file ({error})") from None
    if not mark:
        return
    if mark not in (b">", b"@"):
        shown = mark.decode("ascii", "replace")
        raise UserError(f"{path}: begins with {shown!r}; expected FASTA (>) or FASTQ (@)")
    # Universal newlines: files of Windows read like any other.
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace")
    last = ""
    try:
        if mark == b">":
            for last, letters in SimpleFastaParser(text):  # type: ignore[no-untyped-call]
                yield last, letters
        else:
            for last, letters, _ in FastqGeneralIterator(text):
                yield last, letters
    except BROKEN as error:
        # Biopython gives a record when the next begins: none of those given is cut.
        tally.damage = f"{path}: is a damaged gzip file after {_named(last)} ({error})"
    except ValueError as error:
        tally.damage = f"{path}: is damaged after {_named(last)} ({error})"


def _named(title: str) -> str:
    return f"record {title.split(' ')[0]}" if title else "its first bytes"
