"""The cases lie beside the tests, which import them by name."""

import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

if find_spec("hypothesis"):  # which the tests of a GPU do without
    from hypothesis import settings

    # A busy machine is slow; that is no failure.
    settings.register_profile("nearfar", deadline=None)
    settings.load_profile("nearfar")
