"""Items with what is known of them, bundles of items, and who took which item."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nearfar_kit.arrays import names_array
from nearfar_kit.errors import UserError

__all__ = ["Catalogue", "Floats", "Ints", "catalogue_of", "incidence"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Catalogue:
    """I items, B bundles and the feedback of U users; items are numbered from 0.

    Attributes:
        items: [I] names, all different.
        bundles: [B, I], 1 where the item is in the bundle.
        bundle_names: [B].
        sessions: [B], bundles of one number must stay on one side of a split; or None.
        texts: by name of the modality, [I] texts, empty where it is missing.
        labels: by name, [I] tuples of labels, empty where they are missing.
        vectors: by name, [I, D], rows of NaN where they are missing.
        feedback: [n, 2] (user, item), each pair once.
        owners: [n, 2] (user, bundle), where it is known who took or made which bundle.
        given: which bundles a data set itself trains on, validates and tests by, with the items it
            shows of them, by part: [B'] numbers and [B', I]; empty where it has no such parts.
        prices: [I], NaN where unknown; or None.
        notes: what was put right, one line each.
    """

    name: str
    items: NDArray[np.str_]
    bundles: csr_matrix
    bundle_names: NDArray[np.str_]
    sessions: Ints | None = None
    texts: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    vectors: dict[str, Floats] = field(default_factory=dict)
    feedback: Ints = field(default_factory=lambda: np.empty((0, 2), np.int64))
    owners: Ints = field(default_factory=lambda: np.empty((0, 2), np.int64))
    given: dict[str, tuple[Ints, csr_matrix]] = field(default_factory=dict)
    prices: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def modalities(self) -> list[str]:
        """Names of texts, labels and vectors."""
        return [*self.texts, *self.labels, *self.vectors]

    def without_feedback(self, dropped: NDArray[np.bool_]) -> Catalogue:
        """The same, those pairs left out."""
        return replace(self, feedback=self.feedback[~dropped])


def catalogue_of(
    name: str,
    membership: list[tuple[str, str]],
    *,
    items: list[str] | None = None,
    feedback: list[tuple[str, str]] = (),  # type: ignore[assignment]
    **known: object,
) -> Catalogue:
    """A catalogue from pairs of names (bundle, item) and (user, item).

    Args:
        items: all items, in the order of what is known of them; None: those of the pairs, sorted.

    Raises:
        UserError: a pair names no item of ``items``.

    Example:
        >>> known = catalogue_of("tea", [("set", "pot"), ("set", "cup")])
        >>> known.items.tolist(), known.bundles.toarray().tolist()
        (['cup', 'pot'], [[1.0, 1.0]])
    """
    if items is None:
        items = sorted({item for _, item in membership} | {item for _, item in feedback})
    number = {item: n for n, item in enumerate(items)}
    for what, pairs in (("bundle", membership), ("user", feedback)):
        for holder, item in pairs:
            if item not in number:
                raise UserError(
                    f"{name}: {what} {holder} has item {item!r}, which is not in the catalogue of "
                    f"{len(items)} items"
                )
    bundle_of = {b: n for n, b in enumerate(dict.fromkeys(b for b, _ in membership))}
    user_of = {u: n for n, u in enumerate(dict.fromkeys(u for u, _ in feedback))}
    held = np.array([(bundle_of[b], number[i]) for b, i in membership], np.int64).reshape(-1, 2)
    taken = np.array([(user_of[u], number[i]) for u, i in feedback], np.int64).reshape(-1, 2)
    return Catalogue(
        name,
        names_array(items, name),
        incidence(held, len(bundle_of), len(items)),
        names_array(list(bundle_of), name),
        feedback=np.unique(taken, axis=0),
        **known,  # type: ignore[arg-type]
    )


def incidence(pairs: Ints, rows: int, columns: int) -> csr_matrix:
    """[rows, columns], 1 at each of the pairs [n, 2], however often it comes."""
    found = csr_matrix(
        (np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=(rows, columns)
    )
    found.sum_duplicates()
    found.data[:] = 1.0
    return found
