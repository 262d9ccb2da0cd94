"""The shims: each is needed, applied on use, and changes nothing where nothing is missing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from nearfar_seqrec import compat


def in_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_patches_nothing():
    code = "import nearfar_seqrec, numpy; print(hasattr(numpy, 'float_'))"
    assert in_new_process(code) == "False"


def test_numpy_names_that_are_there_stay(monkeypatch):
    monkeypatch.setitem(vars(np), "unicode_", "mine")
    compat._restore_numpy_names()
    assert vars(np)["unicode_"] == "mine"


def test_dok_update_that_is_there_stays(monkeypatch):
    monkeypatch.setattr(sparse.dok_matrix, "_update", "mine", raising=False)
    compat._restore_dok_update()
    assert sparse.dok_matrix._update == "mine"


def test_dok_matrices_take_entries_as_recbole_writes_them():
    compat.ensure_recbole()
    matrix = sparse.dok_matrix((2, 2))
    matrix._update({(0, 1): 3.0})
    assert matrix[0, 1] == 3.0


@pytest.mark.parametrize("before", [True, False])
def test_anomaly_mode_stays_as_it_was(before):
    code = (
        f"import torch; torch.autograd.set_detect_anomaly({before}); "
        "from nearfar_seqrec.compat import ensure_recbole; ensure_recbole(); "
        "print(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())"
    )
    assert in_new_process(code) == f"{before} True"


def test_a_config_data_set_and_model_of_recbole_work_without_its_quick_start(tmp_path):
    code = f"""
import os, sys
os.chdir({str(tmp_path)!r})
from nearfar_seqrec.compat import ensure_recbole
ensure_recbole()
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from nearfar_seqrec.models import MCLRec
config = Config(model=MCLRec, dataset='ml-100k', config_dict={{
    'train_neg_sample_args': None, 'MAX_ITEM_LIST_LENGTH': 5, 'train_batch_size': 64,
    'load_col': {{'inter': ['user_id', 'item_id', 'timestamp']}},
    'n_layers': 1, 'n_heads': 1, 'hidden_size': 8, 'inner_size': 8, 'hidden_dropout_prob': 0.0,
    'attn_dropout_prob': 0.0, 'hidden_act': 'gelu', 'layer_norm_eps': 1e-12,
    'initializer_range': 0.02, 'loss_type': 'CE', 'meta_weight': 0.25}})
dataset = create_dataset(config)
train, valid, test = data_preparation(config, dataset)
model = MCLRec(config, train.dataset)
interaction = next(iter(train))
loss = model.calculate_loss(interaction)
loss.backward()
print(model.settings.longest, model.settings.meta_weight, model.settings.batch, bool(loss > 5),
      model.full_sort_predict(interaction).shape[1] == dataset.item_num, 'ray' in sys.modules)
"""
    assert in_new_process(code).splitlines()[-1] == "5 0.25 64 True True False"
