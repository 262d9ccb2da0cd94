"""Tables that a spreadsheet opens without running what strangers wrote in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["formula_safe"]

# What spreadsheets take for a formula. A number may begin with a sign.
FORMULA = r"^[=+\-@\t\r]"
NUMBER = r"^[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def formula_safe(frame: pl.DataFrame) -> pl.DataFrame:
    """Text that a spreadsheet would run as a formula gets an apostrophe before it (OWASP).

    Numbers, ``-5`` or ``+1.2e3``, stay as they are. For packages that depend on polars.
    """
    import polars as pl

    text = pl.col(pl.String)
    risky = text.str.contains(FORMULA) & ~text.str.contains(NUMBER)
    safe = frame.with_columns(pl.when(risky).then(pl.lit("'") + text).otherwise(text).name.keep())
    return safe.rename(
        {n: f"'{n}" for n in safe.columns if re.search(FORMULA, n) and not re.search(NUMBER, n)}
    )
