"""Candidate pairs without looking at all N x N: rows that share rare words, by a join in DuckDB."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError

__all__ = ["block", "estimate_pairs"]

# Words of two characters or more, and the first five of each long word, so that a slip of the
# finger at its end does not part two rows.
TOKENS = """
    SELECT DISTINCT row, token FROM (
        SELECT row, unnest(list_concat(
            words,
            list_transform(list_filter(words, lambda w: length(w) > 5), lambda w: w[:5] || '~')
        )) AS token
        FROM (
            SELECT row, list_filter(
                string_split_regex(lower(text), '[^\\pL\\pN]+'), lambda w: length(w) > 1
            ) AS words
            FROM cells WHERE text IS NOT NULL
        )
    )
"""


def estimate_pairs(
    frame: pl.DataFrame,
    *,
    source: NDArray[np.int64] | None = None,
    columns: Sequence[str] | None = None,
    token_rows: int = 50,
    threads: int = 1,
) -> int:
    """An upper bound of what :func:`block` finds, from counts alone: no pair is made.

    Pairs that share several tokens are counted as often.
    """
    with duckdb.connect(config={"threads": threads}) as database:
        _tokens(database, frame, source, columns, token_rows)
        return _estimate(database, across=source is not None)


def block(
    frame: pl.DataFrame,
    *,
    source: NDArray[np.int64] | None = None,
    columns: Sequence[str] | None = None,
    shared_tokens: int = 2,
    token_rows: int = 50,
    most_pairs: int = 5_000_000,
    within: bool = False,
    threads: int = 1,
) -> NDArray[np.int64]:
    """Pairs [P, 2] of rows that share words, the smaller row first, in order.

    A word that more than ``token_rows`` rows hold joins nothing; rows must share ``shared_tokens``
    of the others, or one that only two rows hold.

    Args:
        source: [N] the table of each row; None: all of one.
        columns: whose words count; None: all.
        most_pairs: joins beyond it are refused before they are made.
        within: whether rows of one table are paired too (always, where ``source`` is None).
        threads: the pairs are the same with any number.

    Raises:
        UserError: more than ``most_pairs`` are to be expected; a column is unknown.
    """
    across = source is not None and not within
    with duckdb.connect(config={"threads": threads}) as database:
        _tokens(database, frame, source, columns, token_rows)
        expected = _estimate(database, across=across)
        if expected > most_pairs:
            raise UserError(
                f"blocking would make up to {expected} pairs; expected {most_pairs} at most: lower "
                "token_rows, name fewer columns, or raise most_pairs"
            )
        found = database.execute(
            f"""
            SELECT l.row AS a, r.row AS b FROM tokens l JOIN tokens r
            ON l.token = r.token AND l.row < r.row {"AND l.source <> r.source" if across else ""}
            GROUP BY ALL
            HAVING count(*) >= $shared OR min(l.holders) = 2
            ORDER BY a, b
            """,
            {"shared": shared_tokens},
        ).fetchnumpy()
    return np.stack([found["a"], found["b"]], axis=1).astype(np.int64)


def _tokens(
    database: duckdb.DuckDBPyConnection,
    frame: pl.DataFrame,
    source: NDArray[np.int64] | None,
    columns: Sequence[str] | None,
    token_rows: int,
) -> None:
    for column in columns or ():
        if column not in frame.columns:
            raise UserError(f"no column {column!r}; expected some of {', '.join(frame.columns)}")
    chosen = frame.select(columns or frame.columns)
    table = np.zeros(frame.height, dtype=np.int64) if source is None else source
    texts = [
        pl.DataFrame(
            {
                "row": np.arange(frame.height),
                "text": pl.Series(
                    [None if v is None else str(v) for v in chosen[name].to_list()],
                    dtype=pl.String,
                ),
            }
        )
        for name in chosen.columns
    ]
    database.register("cells", pl.concat(texts).to_arrow() if texts else _no_cells().to_arrow())
    database.register(
        "origin", pl.DataFrame({"row": np.arange(len(table)), "source": table}).to_arrow()
    )
    database.execute(
        f"""
        CREATE TABLE tokens AS
        SELECT row, source, token, count(*) OVER (PARTITION BY token) AS holders
        FROM ({TOKENS}) JOIN origin USING (row)
        QUALIFY holders BETWEEN 2 AND $most
        """,
        {"most": token_rows},
    )


def _estimate(database: duckdb.DuckDBPyConnection, *, across: bool) -> int:
    """Each token's pairs, less those within one table where only pairs across count."""
    by = "token, source" if across else "token"
    (within,) = database.execute(
        "SELECT coalesce(sum(n * (n - 1) // 2), 0) "
        f"FROM (SELECT count(*) AS n FROM tokens GROUP BY {by})"
    ).fetchone() or (0,)
    if not across:
        return int(within)
    return _estimate(database, across=False) - int(within)


def _no_cells() -> pl.DataFrame:
    return pl.DataFrame(schema={"row": pl.Int64, "text": pl.String})
