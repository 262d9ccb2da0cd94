"""Files made to harm, and how a command that is given one must end.

Each case runs in a fork that may not take a GiB more memory or 15 seconds of processor time than it
has: a file that blows up there ends with another status.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
import io
import multiprocessing
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from importlib import import_module
from pathlib import Path

from nearfar_kit.command import run_app
from nearfar_kit.errors import UserError

MORE_BYTES = 2**30
MORE_SECONDS = 15


class Evil:
    """Whoever unpickles this makes a file."""

    def __reduce__(self):
        return (open, ("owned", "w"))


FORK, SPAWN = map(multiprocessing.get_context, ("fork", "spawn"))
# Forks begin with all of it in memory; what a fork takes more is the file's doing.
IMPORTED = (
    "bundle.bench", "bundle.construct", "bundle.train", "dna.bench", "dna.train", "dna.write_bins",
    "har.train", "medical.train", "medical.sepclr.separate", "seqrec.bench", "seqrec.train",
    "speech.continual", "tables.bench.run", "tables.conflicts.server", "tables.lake",
    "tables.report",
)  # fmt: skip
VERBS = {
    "bundle": "train", "dna": "train", "har": "train", "medical": "train", "seqrec": "train",
    "speech": "train", "tables": "integrate",
}  # fmt: skip


class Cradle:
    """A process that has imported all and done nothing yet, from which cases are forked.

    It is no fork of the one that tests run in: threads that polars or torch have begun there do
    not outlive a fork, and whoever waits for them waits for ever.
    """

    def __init__(self) -> None:
        self.pipe, end = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_forks, args=(end,))
        self.process.start()

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


def _forks(pipe) -> None:
    import pyarrow as pa
    import torch

    for module in IMPORTED:
        import_module(f"nearfar_{module}")
    torch.set_num_threads(1)
    for domain, verb in VERBS.items():  # what verbs import, too
        app = import_module(f"nearfar_{domain}.cli").app
        with contextlib.suppress(UserError):
            app([verb, "--data", "away", "--out", "out"], standalone_mode=False)
    pa.array([0])  # Arrow reserves a GiB of addresses with its first
    # A collection in a fork writes on every object, and so copies all of the memory.
    gc.collect()
    gc.freeze()
    while (asked := pipe.recv()) is not None:
        pipe.send(_forked(*asked))


CRADLE: list[Cradle] = []


def status_of(domain: str, *arguments: object) -> tuple[int, str]:
    """How a domain's command line ends in a fork, and what it says on stderr."""
    CRADLE[0].pipe.send((domain, [str(argument) for argument in arguments], str(Path.cwd())))
    return CRADLE[0].pipe.recv()


def _forked(domain: str, arguments: list[str], folder: str) -> tuple[int, str]:
    app = import_module(f"nearfar_{domain}.cli").app
    parent, child = FORK.Pipe()

    def run() -> None:
        os.chdir(folder)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MORE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        seconds = int(used) + MORE_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        said = io.StringIO()
        status = 0
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                run_app(app, arguments)
            except SystemExit as end:
                status = end.code or 0
        child.send((status, said.getvalue()))

    process = FORK.Process(target=run)
    process.start()
    process.join(200)
    if process.is_alive():
        process.kill()
        return -1, "does not end"
    return parent.recv() if parent.poll() else (process.exitcode, "killed")


def status_alone(domain: str, *arguments: object) -> tuple[int, str]:
    """The same in a process of its own, without limits."""
    command = [sys.executable, "-W", "ignore", "-m", f"nearfar_{domain}.cli"]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False
    )
    return done.returncode, done.stderr


def assert_refused(domain: str, *arguments: object, by=status_of) -> str:
    before = set(Path.cwd().rglob("*"))
    status, said = by(domain, *arguments)
    assert status == 2, said
    # What was read well before the mistake may be told of.
    told = [line for line in said.splitlines() if not line.startswith("note: ")]
    assert len(told) == 1, said
    assert told[0].startswith("error: "), said
    assert len(said) < 2000
    after = set(Path.cwd().rglob("*"))
    assert not after - before, f"left: {after - before}"
    return said


def changed(good: dict, *harmless: tuple[str, str]) -> list[dict]:
    """A model's state with each part made another kind, but for those that may be so."""
    import torch

    values = (None, 5, "x", [], {}, [[1]], torch.zeros(2), float("nan"))
    return [
        good | {name: value}
        for name in good
        for value in values
        if (name, str(value)) not in harmless
    ]


def pickled(path: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(pickle.dumps(Evil()))
    return path


def torch_pickled(path: str) -> str:
    import torch

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state": Evil()}, path)
    return path


def huge_safetensors(path: str, claimed: int = 2**62) -> str:
    """A header that claims to be of so many bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(struct.pack("<Q", claimed) + b"{}")
    return path


def npy_header(shape: tuple[int, ...], descr: str = "<i2") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (117 - len(text) % 64 - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def npz(path: str, name: str, content: bytes) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", content)
    return path


def deep(path: str, levels: int = 100_000) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("[" * levels)
    return path


def bomb_png(path: str, side: int = 60_000) -> str:
    """A small file of a picture of 3.6 thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side // 8 + 1) * 64)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


def nifti(path: str, shape: tuple[int, int, int], content: bytes = b"") -> str:
    """A header of that shape, whatever follows."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 16, 32)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb") if path.endswith(".gz") else open(path, "wb") as file:
        file.write(bytes(header))
        if content:
            file.write(content)
    return path


def zlib_text(content: bytes) -> bytes:
    """Packed text whose first line is UTF-8 as it is, so that it may pass for plain text."""
    stored = zlib.compressobj(0)
    packed = stored.compress(content) + stored.flush()
    # An empty stored block first: what pads it is free, and its length has a line feed.
    empty = b"\x80" + struct.pack("<HH", 0x0A, 0xFFFF - 0x0A) + bytes(10)
    return b"\x78\xda" + empty + packed[2:-4] + struct.pack(">I", zlib.adler32(bytes(10) + content))


def packed_tensor(path: str) -> str:
    """A tensor of zeros in an archive that is packed, which torch's are not."""
    import torch

    inside = io.BytesIO()
    torch.save(torch.zeros(2**20, 4), inside)
    with (
        zipfile.ZipFile(inside) as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    return path


def repeated_parquet(path: str, *columns: str, value: object = "a") -> str:
    """One value in 140 million cells: runs take no room."""
    import pyarrow as pa
    from pyarrow import parquet

    part = pa.table({name: pa.repeat(value, 2**20) for name in columns})
    with parquet.ParquetWriter(path, part.schema) as file:
        for _ in range(1 + 2**27 // 2**20 // len(columns)):
            file.write_table(part)
    return path


def folder(name: str, files: dict[str, str | bytes | Path | None]) -> str:
    """A folder with files of that content; a path is where a link leads, None is no file."""
    Path(name).mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        path = Path(name, file)
        path.unlink(missing_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        elif content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return name
