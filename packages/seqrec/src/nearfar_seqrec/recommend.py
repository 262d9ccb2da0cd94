"""Recommendations: the best items for users that are known, or for any sequence of known items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from nearfar_kit.errors import UserError
from nearfar_seqrec.ranking import best_items
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.sequences import Ints
from nearfar_seqrec.settings import Unknown
from nearfar_seqrec.split import padded

__all__ = ["histories_of", "numbers_of", "recommend"]


def recommend(
    recommender: Recommender,
    histories: Sequence[tuple[str, Ints]],
    k: int = 10,
    *,
    repeat: bool = False,
) -> pl.DataFrame:
    """The k best items for each history.

    Args:
        histories: (name, item numbers, the oldest first).
        repeat: whether items of the history itself may be recommended.

    Returns:
        Columns user, rank (from 1), item, score; fewer than k rows where fewer items are left.
    """
    length = np.array([len(items) for _, items in histories])
    flat = np.concatenate([items for _, items in histories])
    whole = padded(flat, np.cumsum(length) - length, length)
    best, scores = best_items(recommender.scorer(), whole, k, seen=None if repeat else whole)
    row, place = np.nonzero(best)
    names = np.array([name for name, _ in histories], dtype=np.str_)
    return pl.DataFrame(
        {
            "user": names[row],
            "rank": place + 1,
            "item": recommender.sequences.items[best[row, place] - 1],
            "score": scores[row, place],
        }
    )


def histories_of(
    recommender: Recommender, users: Sequence[str] | None = None
) -> list[tuple[str, Ints]]:
    """All that is known of some users; of all where none is named.

    Raises:
        UserError: a user is unknown.
    """
    known = recommender.sequences
    number = {str(name): n for n, name in enumerate(known.users)}
    for user in users or ():
        if user not in number:
            raise UserError(
                f"--user {user}: is unknown to the model; expected one of its {len(known)} users, "
                "or the user's items by --item or --data (users of fewer than "
                f"{recommender.settings.user_min} interactions with items that are left were left "
                "out in training, setting user_min)"
            )
    return [(user, known.of(number[user])) for user in users or number]


def numbers_of(
    recommender: Recommender,
    items: Iterable[str],
    where: str,
    unknown: Unknown = "error",
    hint: str = "",
) -> Ints:
    """Item numbers of names; ``where`` they stand, and a hint what else to do, are for errors.

    Raises:
        UserError: an item is unknown, or none is left.
    """
    names = recommender.sequences.items
    number = {str(name): n for n, name in enumerate(names, 1)}
    known = []
    for item in items:
        if item in number:
            known.append(number[item])
        elif unknown != "skip":  # named by hand
            rare = item in recommender.sequences.dropped
            why = " (it was too rare in training, setting item_min)" if rare else ""
            raise UserError(
                f"{where}: item {item!r} is unknown to the model{why}; expected some of the "
                f"{len(names)} items it was trained with{hint}"
            )
    if not known:
        raise UserError(f"{where}: no item is known to the model; expected one or more")
    return np.array(known, dtype=np.int64)
