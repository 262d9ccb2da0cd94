"""MCLRec: meta-optimised contrastive sequential recommendation, on RecBole.

>>> from nearfar_seqrec import leave_one_out, sequences_of
>>> split = leave_one_out(sequences_of([("ann", ["tea", "rice", "tea", "salt"])]))
>>> split.sequences.names(split.histories(split.test, 50)[0])
['tea', 'rice', 'tea']
"""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

__version__ = "0.1.0"

_HOMES = {
    "Recommender": "recommender",
    "SeqrecSettings": "settings",
    "Sequences": "sequences",
    "SequentialEstimator": "estimator",
    "Split": "split",
    "by_time": "split",
    "evaluate": "evaluate",
    "k_core": "filtering",
    "leave_one_out": "split",
    "read": "readers",
    "run_recbole": "recbole_run",
    "sequences_of": "sequences",
}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
