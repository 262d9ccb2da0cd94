"""The estimator face: ``fit`` on bundles and features, ``complete`` and ``build``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nearfar_bundle.builder import Builder
from nearfar_bundle.catalogue import Catalogue, catalogue_of
from nearfar_bundle.construct import Limits, construct
from nearfar_bundle.data import split_of
from nearfar_bundle.evaluate import evaluate
from nearfar_bundle.settings import VARIANTS, BundleSettings
from nearfar_bundle.train import train
from nearfar_kit.settings import load_settings

__all__ = ["BundleEstimator"]


class BundleEstimator:
    """Items that belong together. Works with :func:`sklearn.base.clone`.

    Args:
        random_state: seed of all chance.
        settings: any of :class:`nearfar_bundle.BundleSettings`, as keywords; ``variant="paper"`` is
            CLHE, Ma et al. 2024.

    Attributes:
        builder_: what was learnt; ``builder_.save(path)`` keeps it, and ``builder_.with_items``
            adds items that came later.

    Raises:
        UserError: a setting is unknown or out of bounds.

    Example:
        >>> carts = {n: [f"cup {n % 4}", f"pot {n % 4}", f"tea {n}"] for n in range(24)}
        >>> model = BundleEstimator(epochs=1).fit(carts)
        >>> len(model.complete(["cup 1"], k=2))
        2
    """

    def __init__(self, *, random_state: int = 0, **settings: Any) -> None:
        self.random_state = random_state
        self._given = settings
        base = VARIANTS.get(settings.get("variant", "default"), {})
        self.settings = load_settings(BundleSettings, base=base | settings)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The keywords this was made with."""
        return {"random_state": self.random_state, **self._given}

    def set_params(self, **params: Any) -> BundleEstimator:
        """Changes keywords; what was fitted stays until the next ``fit``."""
        self.__init__(**self.get_params() | params)  # type: ignore[misc]
        return self

    def fit(
        self,
        bundles: Catalogue | Mapping[Any, Sequence[str]],
        titles: Mapping[str, str] | None = None,
        y: None = None,
    ) -> BundleEstimator:
        """Learns from bundles of item names, and from titles of items, in bundles or not.

        Raises:
            UserError: there are too few bundles.
        """
        if not isinstance(bundles, Catalogue):
            membership = [(str(b), item) for b, items in bundles.items() for item in items]
            names = sorted({item for _, item in membership} | set(titles or ()))
            known = catalogue_of("bundles", membership, items=names)
            if titles is not None:
                known = replace(known, texts={"title": [titles.get(name, "") for name in names]})
            bundles = known
        self._split = split_of(bundles, self.settings, self.random_state)
        self.builder_: Builder = train(self._split, self.settings, self.random_state)
        return self

    def complete(
        self, items: Sequence[str], k: int = 10, limits: Limits | None = None
    ) -> list[str]:
        """The k items that go best with those given, the best first."""
        frame = construct(self.builder_, {"new": items}, k, limits)
        found: list[str] = frame.filter(frame["rank"] > 0)["item"].to_list()
        return found

    def build(self, seed: str, size: int, limits: Limits | None = None) -> list[str]:
        """A bundle of so many items around one."""
        return [seed, *self.complete([seed], size - 1, limits)]

    def score(self, bundles: None = None, y: None = None) -> float:
        """Recall@20 on the bundles that ``fit`` held out."""
        found = evaluate(self.builder_, self._split.test, self._split.degrees > 0)
        return found["recall@20"]
