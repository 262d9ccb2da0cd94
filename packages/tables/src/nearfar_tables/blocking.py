"""Candidate pairs without looking at all N x N: rows that share rare words, by a join in DuckDB.

In a large table hardly any word is rare: there two words together are, a given name and a surname.
DuckDB writes to disk what its share of the memory does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from nearfar_kit.errors import UserError
from nearfar_tables.cells import texts_of

__all__ = ["block", "estimate_pairs"]

MEMORY = "3GiB"  # of DuckDB, before it writes to disk
TWO_OF = 8  # rarest words of a row that are looked at two at a time
CHANCE = 0.1  # rows that would hold two words by chance, fewer than which make them a key

# Words of two characters or more, and the first five of each long word, so that a slip of the
# finger at its end does not part two rows.
WORDS = """
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

# What joins rows, and how far: a word that few hold counts once, one that only two hold is enough,
# and so are two words of which many hold each but few both.
KEYS = """
    CREATE TABLE words AS {words};
    CREATE TABLE held AS
    SELECT token, hash(token) AS id, count(*) AS holders FROM words GROUP BY token
    HAVING holders > 1;
    CREATE TABLE own AS
    SELECT row, unnest(rarest, recursive := true) FROM (
        SELECT row, min({{'holders': holders, 'id': id}}, {two_of}) AS rarest
        FROM words JOIN held USING (token) WHERE NOT ends_with(token, '~') GROUP BY row
    );
    CREATE TABLE twos AS
    SELECT l.row, hash(l.id, r.id) AS key FROM own l JOIN own r
    ON l.row = r.row AND l.id < r.id AND greatest(l.holders, r.holders) > {most}
    AND l.holders * r.holders < {chance} * (SELECT count(*) FROM origin);
    CREATE TABLE keys AS
    SELECT row, source, key, points FROM (
        SELECT row, id AS key, if(holders = 2, {shared}, 1) AS points
        FROM words JOIN held USING (token) WHERE holders <= {most}
        UNION ALL
        SELECT row, key, {shared} AS points FROM twos SEMI JOIN (
            SELECT key FROM twos GROUP BY key HAVING count(*) BETWEEN 2 AND {most}
        ) USING (key)
    ) JOIN origin USING (row);
    DROP TABLE words; DROP TABLE held; DROP TABLE own; DROP TABLE twos;
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

    Pairs that share several words are counted as often.
    """
    with _database(threads) as database:
        _keys(database, frame, source, columns, 1, token_rows)
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

    Rows must share ``shared_tokens`` words that no more than ``token_rows`` rows hold; or one that
    only two hold; or two that more hold, of the rarest eight of each, but no more than
    ``token_rows`` both, where hardly any would by chance.

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
    with _database(threads) as database:
        _keys(database, frame, source, columns, shared_tokens, token_rows)
        expected = _estimate(database, across=across)
        if expected > most_pairs:
            raise UserError(
                f"blocking would make up to {expected} pairs; expected {most_pairs} at most: lower "
                "token_rows, name fewer columns, or raise most_pairs"
            )
        found = database.execute(
            f"""
            SELECT l.row AS a, r.row AS b FROM keys l JOIN keys r
            ON l.key = r.key AND l.row < r.row {"AND l.source <> r.source" if across else ""}
            GROUP BY ALL HAVING sum(l.points) >= $shared ORDER BY a, b
            """,
            {"shared": shared_tokens},
        ).fetchnumpy()
    return np.stack([found["a"], found["b"]], axis=1).astype(np.int64)


@contextmanager
def _database(threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    with TemporaryDirectory(prefix="nearfar-tables-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads, "memory_limit": MEMORY, "temp_directory": spill,
            "preserve_insertion_order": False,
        }  # fmt: skip
        with duckdb.connect(config=config) as database:
            yield database


def _keys(
    database: duckdb.DuckDBPyConnection,
    frame: pl.DataFrame,
    source: NDArray[np.int64] | None,
    columns: Sequence[str] | None,
    shared: int,
    most: int,
) -> None:
    for column in columns or ():
        if column not in frame.columns:
            raise UserError(f"no column {column!r}; expected some of {', '.join(frame.columns)}")
    chosen = frame.select(columns or frame.columns)
    table = np.zeros(frame.height, dtype=np.int64) if source is None else source
    texts = [
        pl.DataFrame({"row": np.arange(frame.height), "text": texts_of(chosen[name])})
        for name in chosen.columns
    ]
    database.register("cells", pl.concat(texts).to_arrow() if texts else _no_cells().to_arrow())
    database.register(
        "origin", pl.DataFrame({"row": np.arange(len(table)), "source": table}).to_arrow()
    )
    database.execute(
        KEYS.format(words=WORDS, two_of=TWO_OF, chance=CHANCE, shared=shared, most=most)
    )


def _estimate(database: duckdb.DuckDBPyConnection, *, across: bool) -> int:
    """Each key's pairs, less those within one table where only pairs across count."""
    by = "key, source" if across else "key"
    (within,) = database.execute(
        "SELECT coalesce(sum(n * (n - 1) // 2), 0) "
        f"FROM (SELECT count(*) AS n FROM keys GROUP BY {by})"
    ).fetchone() or (0,)
    if not across:
        return int(within)
    return _estimate(database, across=False) - int(within)


def _no_cells() -> pl.DataFrame:
    return pl.DataFrame(schema={"row": pl.Int64, "text": pl.String})
