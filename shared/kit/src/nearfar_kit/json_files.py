"""JSON of strangers: what is none, or is nested to no end, is told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_kit.text_files import read_text

__all__ = ["parse_json", "read_json"]


def read_json(path: Path) -> Any:
    """What a JSON file in UTF-8 holds, with or without a byte order mark.

    Raises:
        UserError: it cannot be read or is no JSON.
    """
    return parse_json(read_text(path, "JSON"), str(path))


def parse_json(text: str, where: str) -> Any:
    """What a JSON text holds.

    Args:
        where: what the text is, for the error.

    Raises:
        UserError: it is no JSON; the line is told where there are several.

    Example:
        >>> parse_json("[1, 2]", "--row")
        [1, 2]
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f", line {error.lineno}" if "\n" in text.rstrip() else ""
        raise UserError(f"{where}{place}: is no valid JSON ({error.msg})") from None
    except RecursionError:
        raise UserError(f"{where}: is nested too deep; expected plain JSON") from None
    except ValueError:  # Python reads no number of more than some thousand digits
        raise UserError(f"{where}: holds a number of too many digits") from None
