"""A call as RecBole's users know it: its config, its data set, our loop and evaluation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from nearfar_kit.errors import UserError
from nearfar_seqrec.compat import ensure_recbole
from nearfar_seqrec.evaluate import evaluate
from nearfar_seqrec.sequences import Sequences
from nearfar_seqrec.split import Split, leave_one_out
from nearfar_seqrec.train import CHOSEN_BY, train

__all__ = ["run_recbole", "split_of_recbole"]

# What RecBole leaves to a model's own YAML file, as its SASRec and GRU4Rec have it.
MODEL_DEFAULTS = {
    "n_layers": 2, "n_heads": 2, "hidden_size": 64, "inner_size": 256, "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    "initializer_range": 0.02, "loss_type": "CE", "embedding_size": 64, "num_layers": 1,
    "dropout_prob": 0.3, "train_neg_sample_args": None,
}  # fmt: skip


def run_recbole(
    model: str = "MCLRec",
    dataset: str = "ml-100k",
    config_file_list: list[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """Trains and tests a model of this package on a data set that RecBole reads.

    Data, filters and network come from RecBole's config, with its names (``MAX_ITEM_LIST_LENGTH``,
    ``train_batch_size``, ``user_inter_num_interval``); what it has no name for, with ours
    (``view_weight``, ``train_mode``). Files and the dictionary as in RecBole; the command line of
    the process is left alone. The split is leave-one-out.

    Args:
        model: MCLRec, DuoRec, CL4SRec, SASRec or GRU4Rec.
        saved: whether to write ``saved/MODEL-DATASET.safetensors``, under ``checkpoint_dir``.

    Returns:
        ``best_valid_score`` (NDCG@10), ``best_valid_result``, ``test_result``, ``epochs`` and
        ``saved`` (a path or None).

    Raises:
        UserError: the model or a setting is unknown, or nothing is left of the data.
    """
    ensure_recbole()
    from recbole.config import Config
    from recbole.data import create_dataset
    from recbole.utils import init_seed

    from nearfar_seqrec.models import MODELS
    from nearfar_seqrec.models.config import settings_of

    if model.lower() not in MODELS:
        known = ", ".join(kind.__name__ for kind in MODELS.values())
        raise UserError(f"model {model}: expected one of {known}")
    arguments, sys.argv = sys.argv, sys.argv[:1]  # Config reads them, and warns of what is ours
    try:
        config = Config(
            model=MODELS[model.lower()],
            dataset=dataset,
            config_file_list=config_file_list,
            config_dict=MODEL_DEFAULTS | (config_dict or {}),
        )
    finally:
        sys.argv = arguments
    init_seed(config["seed"], config["reproducibility"])
    split = split_of_recbole(create_dataset(config))
    # RecBole has filtered; its numbers of users and items are final.
    settings = settings_of(config, method=model.lower(), user_min=1, item_min=1)
    recommender = train(split, settings, config["seed"])
    path = Path(config["checkpoint_dir"]) / f"{model}-{dataset}.safetensors" if saved else None
    if path is not None:
        recommender.save(path)
    valid = max(recommender.history, key=lambda found: found[CHOSEN_BY])
    test = evaluate(
        recommender.scorer(), split, split.test, longest=settings.longest,
        mask_seen=settings.mask_seen,
    )  # fmt: skip
    return {
        "best_valid_score": valid[CHOSEN_BY],
        "best_valid_result": valid,
        "test_result": test,
        "epochs": recommender.epochs,
        "saved": path,
    }


def split_of_recbole(dataset: Any) -> Split:
    """The leave-one-out split of a RecBole data set, items numbered and ordered as it does.

    Raises:
        UserError: its interactions have no time field.
    """
    if dataset.time_field not in dataset.inter_feat:
        raise UserError(
            f"{dataset.dataset_name}: no field {dataset.time_field} is loaded; expected it in "
            "load_col, since sequences are ordered by it"
        )
    feat = dataset.inter_feat
    # RecBole compares times as float32: seconds since 1970 within a minute keep the file's order.
    coarse = feat[dataset.time_field].to_numpy(np.float32)
    feat = feat.iloc[np.lexsort([coarse, feat[dataset.uid_field]])]
    user, item, time = (
        np.asarray(feat[field])
        for field in (dataset.uid_field, dataset.iid_field, dataset.time_field)
    )
    there, row = np.unique(user, return_inverse=True)
    names = np.asarray(dataset.id2token(dataset.uid_field, there), dtype=np.str_)
    items = np.asarray(dataset.field2id_token[dataset.iid_field][1:], dtype=np.str_)
    start = np.concatenate([[0], np.cumsum(np.bincount(row))]).astype(np.int64)
    return leave_one_out(
        Sequences(names, items, item.astype(np.int64), start, time.astype(np.float64))
    )
