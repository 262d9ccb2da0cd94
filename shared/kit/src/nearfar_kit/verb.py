"""What a verb that makes a run does first and last, alike in every domain."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast, get_args

import typer

from nearfar_kit.atomic import new_folder
from nearfar_kit.command import tell
from nearfar_kit.errors import UserError
from nearfar_kit.launch import Device, describe_device
from nearfar_kit.metrics import Metrics, versions_of
from nearfar_kit.run import RunFolder
from nearfar_kit.settings import Settings, settings_hash

__all__ = ["begin", "device_of", "end", "simulated"]


def device_of(given: str) -> Device:
    """The device that ``--device`` names.

    Raises:
        UserError: it names none.
    """
    for device in get_args(Device):
        if given == device:
            return cast(Device, device)
    raise UserError(f"--device {given}: expected auto, cpu or cuda")


def begin(
    domain: str,
    verb: str,
    out: Path,
    settings: Settings,
    *,
    device: str = "cpu",
    seed: int = 0,
    resume: bool | None = None,
    packages: tuple[str, ...] = (),
) -> tuple[RunFolder, Metrics]:
    """The run folder and the metrics of a run that begins, all chance seeded.

    Args:
        resume: whether ``--resume`` was given; None: the verb has no such option.
        packages: whose versions the metrics tell, beside the house's own.
    """
    # torch takes seconds to import: --help and a mistake in the call answer at once.
    import nearfar
    from nearfar_kit.seeds import seed_everything

    run = RunFolder(out, settings, resume=resume)
    if resume and not run.resumed and run.writes:
        tell(f"--resume: {out} held no run, and one begins there")
    run.log("begin", verb=verb, seed=seed, resume=bool(resume))
    seed_everything(seed)
    described = describe_device(device_of(device))
    metrics = Metrics(
        domain=domain,
        verb=verb,
        versions=versions_of(f"nearfar-{domain}", *packages),
        device=described,
        loss_path=nearfar.loss_path(described.split()[0]),
        settings_hash=settings_hash(settings),
        resumed=run.resumed,
    )
    return run, metrics


def end(run: RunFolder) -> None:
    """Says in the log and to the user that the run is done."""
    run.log("end")
    typer.echo(f"report: {run.report}")


class Writer(Protocol):
    """What fills a folder with simulated data."""

    def __call__(self, folder: Path, *, seed: int) -> None: ...


def simulated(write: Writer, out: Path, seed: int, then: str) -> None:
    """Simulated data as files in the layout that a domain reads, and what may be done with them.

    Args:
        then: a command, in which ``{}`` stands for the folder.
    """
    with new_folder(out) as beside:
        write(beside, seed=seed)
    typer.echo(f"{out}: simulated data. Next: {then.format(out)}")
