"""The options that every command line shares, and how a command ends.

Exit status: 0 done, 1 a failure of ours, 2 a mistake in the call or the data, 130 stopped.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from nearfar_kit.errors import UserError
from nearfar_kit.memory import keep_freed_memory
from nearfar_kit.printable import printable

__all__ = [
    "Config", "Data", "DeviceOption", "Out", "Overrides", "Quiet", "Resume", "Seed",
    "new_app", "run_app", "tell",
]  # fmt: skip

Data = Annotated[Path, typer.Option("--data", help="Folder or file of data.")]
Out = Annotated[Path, typer.Option("--out", help="Run folder to write.")]
Config = Annotated[Path | None, typer.Option("--config", help="YAML file of settings.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="A setting, key=value; may be repeated.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of all chance.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --out; called as it was begun.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on the terminal.")]

# The base of what typer raises for an unknown option, a missing one, a value out of bounds. Whether
# click has it or typer itself depends on typer's version.
UsageError: Any = typer.BadParameter.__bases__[0]
STOPPED = 130
LONGEST = 1000  # letters of an error


def new_app(help: str) -> typer.Typer:
    """A typer app in the house's ways: help where no verb is given, errors left to run_app."""
    return typer.Typer(
        help=help, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )


def tell(*notes: str) -> None:
    """What was put right, left out or taken for granted, a line each, on stderr."""
    for note in notes:
        typer.echo(f"note: {printable(note)}", err=True)


def run_app(
    app: typer.Typer, arguments: list[str] | None = None, program: str | None = None
) -> None:
    """Runs a command line and ends the process with its status.

    Args:
        program: what one types before the arguments; as the process was called where not given.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    # --debug may stand anywhere; it concerns this function alone.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    keep_freed_memory()
    try:
        status = app(arguments, standalone_mode=False, prog_name=program)
    except UserError as error:
        if debug:
            traceback.print_exc()
        from nearfar_kit.run import take_back

        take_back()
        print(f"error: {_in_a_line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except UsageError as error:
        if not arguments or type(error).__name__ == "NoArgsIsHelpError":
            error.show()
        else:
            print(f"error: {_of_the_call(error)}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if debug:
            traceback.print_exc()
        text = str(error).splitlines()[0] if str(error) else ""
        told = f"{type(error).__name__}: {_in_a_line(text)}"
        print(f"failure: {told} (--debug shows more)", file=sys.stderr)
        sys.exit(1)

    if status == STOPPED:  # typer's answer to Ctrl-C
        from nearfar_kit.run import take_back

        told = "what is done is kept, --resume goes on from there"
        print(f"stopped; {told if take_back() else 'nothing is kept yet'}", file=sys.stderr)
    sys.exit(status or 0)


def _of_the_call(error: Any) -> str:
    """What typer has against the call, in the house's form."""
    told = " ".join(error.format_message().split()).rstrip(".")
    path = "" if error.ctx is None else f"; {error.ctx.command_path} --help tells what is expected"
    return _in_a_line(told + path)


def _in_a_line(text: str) -> str:
    """Names in files may be long, and hold what a terminal would obey."""
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
