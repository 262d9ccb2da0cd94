"""RecBole's face: its config, data set and trainer with our models and loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nearfar_kit.errors import UserError
from nearfar_seqrec.batches import Batches
from nearfar_seqrec.evaluate import evaluate
from nearfar_seqrec.readers import read
from nearfar_seqrec.recbole_run import MODEL_DEFAULTS, run_recbole, split_of_recbole
from nearfar_seqrec.recommender import Recommender
from nearfar_seqrec.scoring import ModelScorer
from nearfar_seqrec.split import leave_one_out

TINY = {
    "n_layers": 1, "n_heads": 1, "hidden_size": 8, "inner_size": 8, "MAX_ITEM_LIST_LENGTH": 6,
    "epochs": 1, "train_batch_size": 64, "embedding_size": 8,
}  # fmt: skip


def write(folder, circle_rows, step):
    """A data set in RecBole's files, ``step`` seconds between interactions, rows in any order."""
    folder.mkdir()
    rows = [
        f"{user}\t{item}\t{881250949 + step * t}"
        for user, items in circle_rows
        for t, item in enumerate(items)
    ]
    np.random.default_rng(0).shuffle(rows)
    head = "user_id:token\titem_id:token\ttimestamp:float\n"
    text = head + "\n".join(rows) + "\n"
    (folder / f"{folder.name}.inter").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def atomic(circle_rows, tmp_path_factory):
    """A folder of RecBole data sets; ``circle`` has times that float32 tells apart, ``quick`` not

    all: RecBole takes some of those for one moment.
    """
    folder = tmp_path_factory.mktemp("recbole")
    write(folder / "quick", circle_rows, 50)
    return write(folder / "circle", circle_rows, 1000)


@pytest.fixture
def given(atomic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = {"inter": ["user_id", "item_id", "timestamp"]}
    return TINY | {
        "data_path": str(atomic.parent), "load_col": columns,
        "checkpoint_dir": str(tmp_path / "saved"),
    }  # fmt: skip


@pytest.mark.parametrize("model", ["SASRec", "MCLRec", "GRU4Rec"])
def test_a_call_as_recboles_users_know_it(given, model):
    found = run_recbole(model=model, dataset="circle", config_dict=given)
    assert found["epochs"] == 1
    assert 0 < found["test_result"]["ndcg@10"] < 1
    assert found["best_valid_score"] == found["best_valid_result"]["ndcg@10"]
    loaded = Recommender.load(found["saved"])
    assert loaded.settings.longest == 6
    assert loaded.settings.method == model.lower()


def test_yaml_files_and_own_settings(given, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("meta: joint\nmeta_weight: 0.3\ntrain_mode: prefix\n")
    found = run_recbole("MCLRec", "circle", [str(file)], given | {"meta_weight": 0.2})
    settings = Recommender.load(found["saved"]).settings
    assert (settings.meta, settings.meta_weight, settings.train_mode) == ("joint", 0.2, "prefix")


def test_its_sequences_are_those_of_our_reader(given, atomic):
    from nearfar_seqrec.compat import ensure_recbole

    ensure_recbole()
    from recbole.config import Config
    from recbole.data import create_dataset

    from nearfar_seqrec.models import SASRec

    theirs = split_of_recbole(
        create_dataset(Config(model=SASRec, dataset="circle", config_dict=MODEL_DEFAULTS | given))
    )
    ours = leave_one_out(read(atomic))

    def named(split):
        known = split.sequences
        return {str(user): known.names(known.of(n)) for n, user in enumerate(known.users)}

    assert named(theirs) == named(ours)


def test_a_model_that_is_not_ours(given):
    with pytest.raises(UserError, match=r"model BERT4Rec: expected one of MCLRec, DuoRec"):
        run_recbole("BERT4Rec", "circle", config_dict=given)


def test_without_times(given):
    given["load_col"] = {"inter": ["user_id", "item_id"]}
    with pytest.raises(UserError, match="no field timestamp is loaded"):
        run_recbole("SASRec", "circle", config_dict=given)


@pytest.fixture
def theirs(given):
    """RecBole's config, loaders and a SASRec of its own."""
    from nearfar_seqrec.compat import ensure_recbole

    ensure_recbole()
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec

    options = {
        "show_progress": False, "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0,
        "learning_rate": 0.02, "metrics": ["Hit", "NDCG", "MRR"], "topk": [5, 12],
        "metric_decimal_place": 12, "valid_metric": "NDCG@5", "train_batch_size": 100_000,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
    }  # fmt: skip
    config = Config(model=SASRec, dataset="quick", config_dict=MODEL_DEFAULTS | given | options)
    dataset = create_dataset(config)
    split = split_of_recbole(create_dataset(config))
    train, _, test = data_preparation(config, dataset)
    return config, split, train, test, SASRec(config, train.dataset)


def as_ours(config, train, model):
    """Our model with the weights of RecBole's."""
    from nearfar_seqrec.models import SASRec

    ours = SASRec(config, train.dataset)
    ours.load_state_dict(model.state_dict())
    return ours


def test_an_epochs_loss_and_gradients_are_those_of_recboles_sasrec(theirs):
    config, split, train, _, model = theirs
    ours = as_ours(config, train, model)
    (interaction,) = train
    want = model.calculate_loss(interaction)
    want.backward()
    # All prefixes of all users in one batch, RecBole's and ours.
    batches = Batches(split, mode="prefix", longest=6, size=100_000, seed=0)
    (batch,) = batches.epoch(0)
    got = ours.next_item_loss(batch, torch.Generator())
    got.backward()
    assert got.item() == pytest.approx(want.item(), rel=1e-6)
    for (name, p), q in zip(ours.named_parameters(), model.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, rtol=1e-4, atol=1e-7), name
    assert ours.calculate_loss(interaction).item() == pytest.approx(want.item(), rel=1e-6)


def test_measures_are_those_of_recboles_evaluation(theirs):
    from recbole.trainer import Trainer

    config, split, train, test, model = theirs
    trainer = Trainer(config, model)
    for epoch in range(3):
        trainer._train_epoch(train, epoch)
    want = trainer.evaluate(test, load_best_model=False)
    found = evaluate(ModelScorer(as_ours(config, train, model)), split, split.test, longest=6)
    for name in ("hit", "ndcg"):
        assert found[f"{name}@5"] == pytest.approx(want[f"{name}@5"], abs=1e-9)
    assert found["mrr"] == pytest.approx(want["mrr@12"], abs=1e-9)  # twelve items: all are listed


def test_recboles_own_trainer_trains_ours(given):
    """The loss falls; the joint objective of one target a row."""
    from nearfar_seqrec.compat import ensure_recbole

    ensure_recbole()
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.trainer import Trainer

    from nearfar_seqrec.models import DuoRec

    config = Config(
        model=DuoRec, dataset="circle",
        config_dict=MODEL_DEFAULTS | given | {"learning_rate": 0.02, "show_progress": False},
    )  # fmt: skip
    train, _, _ = data_preparation(config, create_dataset(config))
    trainer = Trainer(config, DuoRec(config, train.dataset).to(config["device"]))
    losses = [trainer._train_epoch(train, epoch) for epoch in range(3)]
    assert losses[-1] < losses[0]
