"""Filters: users and items with too few interactions, and what lies too far back, go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nearfar_kit.errors import UserError
from nearfar_seqrec.sequences import Sequences

__all__ = ["dense_core", "k_core", "most_recent"]


def k_core(sequences: Sequences, user_min: int = 5, item_min: int = 5) -> Sequences:
    """The largest part in which every user and every item has so many interactions.

    Items keep their order and are numbered anew.

    Raises:
        UserError: fewer than two items are left, among which nothing is to be foretold.
    """
    user, item = sequences.user_of, sequences.flat
    kept = np.ones(len(item), dtype=bool)
    while True:
        of_user = np.bincount(user[kept], minlength=len(sequences))
        of_item = np.bincount(item[kept], minlength=len(sequences.items) + 1)
        enough = kept & (of_user[user] >= user_min) & (of_item[item] >= item_min)
        if enough.sum() == kept.sum():
            break
        kept = enough
    items = np.flatnonzero(of_item)
    if len(items) < 2:
        left = "one item" if len(items) else "nothing"
        raise UserError(
            f"filter: {left} is left of {len(sequences)} users and {len(sequences.items)} items; "
            f"expected some with {user_min} interactions a user and {item_min} an item "
            "(settings user_min, item_min)"
        )
    number = np.zeros(len(of_item), dtype=np.int64)
    number[items] = np.arange(1, len(items) + 1)
    part = sequences.where(kept)
    left_out = sequences.items[np.flatnonzero(of_item[1:] == 0)]
    return replace(
        part,
        items=sequences.items[items - 1],
        flat=number[part.flat],
        dropped=np.concatenate([sequences.dropped, left_out]),
    )


def dense_core(
    sequences: Sequences, user_min: int, item_min: int, most: int, recent: int = 0
) -> Sequences:
    """The last interactions of each user in the first k-core that leaves at most ``most``.

    Both minima are raised together; if they were, or if the first minima leave less than half of
    the interactions, a note tells.

    Args:
        most: interactions, those of a user beyond ``recent`` not counted; 0: any number.
        recent: interactions of each user that are kept; 0: all.

    Raises:
        UserError: nothing is left.
    """
    core, raised = k_core(sequences, user_min, item_min), 0
    if 2 * len(core.flat) < len(sequences.flat):
        note = (
            f"at least {user_min} interactions a user and {item_min} an item: {len(core.flat)} of "
            f"{len(sequences.flat)} are left (settings user_min, item_min)"
        )
        core = replace(core, notes=(*core.notes, note))
    kept = most_recent(core, recent) if recent else core
    while most and len(kept.flat) > most:
        raised += 1
        try:
            core = k_core(core, user_min + raised, item_min + raised)
        except UserError:
            raise UserError(
                f"filter: no core holds at most {most} interactions; the densest that is not "
                f"empty holds {len(kept.flat)} (setting most)"
            ) from None
        kept = most_recent(core, recent) if recent else core
    if not raised:
        return kept
    note = (
        f"at least {user_min + raised} interactions a user and {item_min + raised} an item, "
        f"{len(kept.flat)} of {len(sequences.flat)}, by the setting most"
    )
    return replace(kept, notes=(*kept.notes, note))


def most_recent(sequences: Sequences, count: int) -> Sequences:
    """The last ``count`` interactions of each user; items keep their numbers."""
    place_from_end = sequences.start[sequences.user_of + 1] - np.arange(len(sequences.flat))
    return sequences.where(place_from_end <= count)
