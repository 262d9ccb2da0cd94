"""The estimator face: ``fit``, ``predict`` and ``score`` over sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings
from nearfar_seqrec.data import split_of
from nearfar_seqrec.evaluate import evaluate
from nearfar_seqrec.export import item_vectors
from nearfar_seqrec.recommend import numbers_of, recommend
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.sequences import Sequences, sequences_of
from nearfar_seqrec.settings import SeqrecSettings
from nearfar_seqrec.train import train

__all__ = ["SequentialEstimator"]


class SequentialEstimator:
    """The next items of sequences.

    ``fit`` takes sequences of names and holds each one's last two items out, for the choice of the
    epoch and for ``score``. Works with :func:`sklearn.base.clone`.

    Args:
        random_state: seed of all chance.
        settings: any of :class:`nearfar_seqrec.SeqrecSettings`, as keywords; ``method="mclrec"`` is
            Qin et al. 2023 (arXiv 2304.07763).

    Attributes:
        recommender_: what was learnt; ``recommender_.save(path)`` keeps it.
        items_: names of items, in the order of ``item_vectors_``.
        item_vectors_: [I, width].

    Raises:
        UserError: a setting is unknown or out of bounds.

    Example:
        >>> days = [["tea", "rice", "salt", "tea", "rice", "salt"]] * 4
        >>> model = SequentialEstimator(epochs=1, width=8).fit(days)
        >>> model.predict([["tea", "rice"]], k=2)
        [['salt']]
    """

    def __init__(self, *, random_state: int = 0, **settings: Any) -> None:
        self.random_state = random_state
        self._given = settings
        self.settings = load_settings(
            SeqrecSettings, base={"user_min": 1, "item_min": 1} | settings
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The keywords this was made with."""
        return {"random_state": self.random_state, **self._given}

    def set_params(self, **params: Any) -> SequentialEstimator:
        """Changes keywords; what was fitted stays until the next ``fit``."""
        self.__init__(**self.get_params() | params)  # type: ignore[misc]
        return self

    def fit(
        self, sequences: Sequences | Sequence[Sequence[str]], y: None = None
    ) -> SequentialEstimator:
        """Learns from sequences of item names, the oldest first.

        Raises:
            UserError: no sequence has three items, or one is text.
        """
        if not isinstance(sequences, Sequences):
            _check_lists(sequences)
            sequences = sequences_of((str(n), list(items)) for n, items in enumerate(sequences))
        self._split = split_of(sequences, self.settings)
        self.recommender_: Recommender = train(self._split, self.settings, self.random_state)
        self.items_ = self.recommender_.sequences.items
        self.item_vectors_ = item_vectors(self.recommender_)
        return self

    def predict(
        self, sequences: Sequence[Sequence[str]], k: int = 10, *, repeat: bool = False
    ) -> list[list[str]]:
        """The k best next items of each sequence, the best first; fewer where fewer are left.

        Args:
            repeat: whether items of the sequence itself may come again, as ``--repeat``.

        Raises:
            UserError: an item was not trained with, or a sequence is text.
        """
        _check_lists(sequences)
        histories = [
            (str(n), numbers_of(self.recommender_, items, f"sequence {n}"))
            for n, items in enumerate(sequences)
        ]
        frame = recommend(self.recommender_, histories, k, repeat=repeat)
        found: list[list[str]] = [[] for _ in histories]
        for user, item in frame.select("user", "item").iter_rows():
            found[int(user)].append(item)
        return found

    def score(self, sequences: None = None, y: None = None) -> float:
        """NDCG@10 on the last items of the sequences fitted, which were held out."""
        found = evaluate(
            self.recommender_.scorer(), self._split, self._split.test,
            longest=self.settings.longest, mask_seen=self.settings.mask_seen,
        )  # fmt: skip
        return found["ndcg@10"]


def _check_lists(sequences: Sequence[Sequence[str]]) -> None:
    """Refuses text where a sequence should be: its letters would be taken for items."""
    for text in (sequences, *sequences):
        if isinstance(text, str):
            raise UserError(
                f"sequences: {text!r} is text; expected lists of items, as [['tea', 'rice']]"
            )
