"""Text that a spreadsheet opens without running what a stranger wrote into it.

An apostrophe is put before what would be taken for a formula (OWASP, "CSV injection"). Numbers stay
as they are, ``-5`` and ``+1.2e3`` too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["formula_safe", "harmless"]

FORMULA = r"^[=+\-@\t\r]"
NUMBER = r"^[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula.

    Example:
        >>> harmless("=HYPERLINK(A1)"), harmless("-1.5"), harmless("anna")
        ("'=HYPERLINK(A1)", '-1.5', 'anna')
    """
    return f"'{text}" if re.search(FORMULA, text) and not re.search(NUMBER, text) else text


def formula_safe(frame: pl.DataFrame) -> pl.DataFrame:
    """The same of every text and every column's name, for packages that depend on polars."""
    import polars as pl

    text = pl.col(pl.String)
    risky = text.str.contains(FORMULA) & ~text.str.contains(NUMBER)
    safe = frame.with_columns(pl.when(risky).then(pl.lit("'") + text).otherwise(text).name.keep())
    return safe.rename({name: harmless(name) for name in safe.columns})
