"""A small simulated shop, and hypothesis as the other packages run it."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("nearfar", deadline=None)
settings.load_profile("nearfar")


@pytest.fixture(scope="session")
def shop():
    from nearfar_bundle.simulate import simulate

    return simulate(items=160, bundles=120, users=60)


@pytest.fixture(scope="session")
def split(shop):
    from nearfar_bundle.split import split_bundles

    return split_bundles(shop, 0)


@pytest.fixture(scope="session")
def builder(split):
    from nearfar_bundle.settings import BundleSettings
    from nearfar_bundle.train import train

    return train(split, BundleSettings(epochs=3), 0)
