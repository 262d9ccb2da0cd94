"""Settings as RecBole's models read them, and theirs as ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nearfar_kit.settings import load_settings
from nearfar_seqrec.settings import SeqrecSettings

__all__ = ["Catalogue", "config_of", "settings_of"]

# RecBole's name of each setting that it has too.
NAMES = {
    "longest": "MAX_ITEM_LIST_LENGTH",
    "width": "hidden_size",
    "layers": "n_layers",
    "heads": "n_heads",
    "inner_width": "inner_size",
    "dropout": "hidden_dropout_prob",
    "epochs": "epochs",
    "patience": "stopping_step",
    "validate_every": "eval_step",
    "batch": "train_batch_size",
    "learning_rate": "learning_rate",
    "weight_decay": "weight_decay",
}


@dataclass(frozen=True)
class Catalogue:
    """What a RecBole model asks its dataset for."""

    items: int

    def num(self, field: str) -> int:
        """Item numbers, the padding's included; no model here asks for users."""
        return self.items + 1


def config_of(settings: SeqrecSettings) -> dict[str, Any]:
    """What a RecBole model asks its ``Config`` for."""
    values = settings.model_dump()
    return (
        values
        | {name: values[own] for own, name in NAMES.items()}
        | {
            "USER_ID_FIELD": "user_id",
            "ITEM_ID_FIELD": "item_id",
            "LIST_SUFFIX": "_list",
            "ITEM_LIST_LENGTH_FIELD": "item_length",
            "NEG_PREFIX": "neg_",
            "device": "cpu",
            "loss_type": "CE",
            "attn_dropout_prob": settings.dropout,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "initializer_range": 0.02,
            "embedding_size": settings.width,
            "num_layers": 1,
            "dropout_prob": settings.dropout,
        }
    )


def settings_of(config: Any, **given: Any) -> SeqrecSettings:
    """The settings that a RecBole ``Config``, or :func:`config_of`, holds; ours where it is silent.

    Args:
        given: settings that stand over it.
    """
    values = {}
    for own in SeqrecSettings.model_fields:
        for name in (NAMES.get(own, own), own):
            if name in config and config[name] is not None:
                values[own] = config[name]
    return load_settings(SeqrecSettings, base=values | given)
