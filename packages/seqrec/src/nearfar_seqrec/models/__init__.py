"""Models as RecBole's ``SequentialRecommender``s, by the name of their method."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nearfar_seqrec.compat import ensure_recbole
from nearfar_seqrec.features import ItemFeatures
from nearfar_seqrec.settings import SeqrecSettings

ensure_recbole()  # whoever asks for a model is about to use RecBole

from nearfar_seqrec.models.cl4srec import CL4SRec  # noqa: E402
from nearfar_seqrec.models.config import Catalogue, config_of  # noqa: E402
from nearfar_seqrec.models.duorec import DuoRec  # noqa: E402
from nearfar_seqrec.models.gru4rec import GRU4Rec  # noqa: E402
from nearfar_seqrec.models.mclrec import MCLRec  # noqa: E402
from nearfar_seqrec.models.sasrec import SASRec  # noqa: E402

__all__ = ["MODELS", "CL4SRec", "DuoRec", "GRU4Rec", "MCLRec", "SASRec", "new_model"]

MODELS: dict[str, Any] = {
    "mclrec": MCLRec,
    "duorec": DuoRec,
    "cl4srec": CL4SRec,
    "sasrec": SASRec,
    "gru4rec": GRU4Rec,
}


def new_model(
    settings: SeqrecSettings,
    items: int,
    counts: Tensor | None = None,
    similar: Tensor | None = None,
    features: ItemFeatures | None = None,
) -> Any:
    """The settings' model for so many items, its weights drawn from torch's generator.

    Args:
        counts: [items + 1], how often each was trained on, for the sampled softmax.
        similar: [items + 1], the item most like each, for insert and substitute.
        features: what is known of the items.
    """
    model = MODELS[settings.method](config_of(settings), Catalogue(items))
    model.counts, model.similar = counts, similar
    if features is not None:
        model.learn_features(features)
    return model
