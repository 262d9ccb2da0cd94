"""Weights that travel: saved, loaded from others' files, exported."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNet
from safetensors.torch import save_file

from nearfar_kit.checkpoint import load_checkpoint, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_medical.network import Network
from nearfar_medical.seen import Seen
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.weights import Model, load_model, load_weights, save_model, unet_state

SETTINGS = MedicalSettings(
    size=(16, 16), slice_axis=2, spacing=(0.7, 3.0), widths=(4, 8, 8), local_depth=1
)


def network(seed=0, classes=3):
    torch.manual_seed(seed)
    return Network(2, 1, classes, widths=SETTINGS.widths).eval()


@pytest.fixture
def model():
    classes = {0: "background", 1: "anterior", 2: "posterior"}
    seen = Seen(frozenset({("a", "anna")}), images=frozenset({("b", "ben"), ("c", "ben")}))
    return Model(network(), SETTINGS, classes, ("T1",), 2, seen)


X = torch.linspace(0, 1, 256).view(1, 1, 16, 16)


def test_a_model_comes_back_whole(model, tmp_path):
    save_model(tmp_path / "m.safetensors", model)
    back = load_model(tmp_path / "m.safetensors")
    assert torch.equal(back.network(X), model.network(X))
    for name in ("settings", "classes", "channels", "trained_depth", "seen"):
        assert getattr(back, name) == getattr(model, name), name


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": {"widths": "many"}},
        {"settings": {"size": [16, 16]}},  # a geometry that is left open
        {"settings": {"magic": 1}},
        {"network": {"channels_in": 1}},
        {"network": {"channels_in": 1, "classes": 7}},
        {"weights": {}},
        {"classes": [1, 2]},
        {"channels": None},
        {"trained_depth": "deep"},
        {"seen": {"labelled": [["a"]]}},
    ],
)
def test_a_model_that_does_not_hold_together(model, tmp_path, changed):
    path = tmp_path / "m.safetensors"
    save_model(path, model)
    save_checkpoint(path, load_checkpoint(path) | changed)
    told = r"m\.safetensors: (is a damaged nearfar-medical model 2 \(|widths is|unknown setting)"
    with pytest.raises(UserError, match=told):
        load_model(path)


def test_the_state_is_that_of_a_plain_unet(model):
    unet = UNet(**model.network.recipe()).eval()
    unet.load_state_dict(unet_state(model))
    assert torch.equal(unet(X), model.network(X))


@pytest.mark.parametrize("prefix", ["", "module.", "module.net.", "unet.", "_forward_module.unet."])
@pytest.mark.parametrize("kind", ["safetensors", "pt", "nested"])
def test_prefixes_of_other_programs_are_seen_through(tmp_path, prefix, kind):
    theirs, own = network(1), network(2)
    state = {prefix + name: value for name, value in theirs.unet.state_dict().items()}
    file = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    if kind == "safetensors":
        save_file(state, file)
    else:
        torch.save({"state_dict": state, "epoch": 3} if kind == "nested" else state, file)
    match = load_weights(own, file)
    assert str(match) == f"{len(own.state_dict())} weights taken"
    assert torch.equal(own(X), theirs(X))


def test_a_saved_model_is_a_file_of_weights_too(model, tmp_path):
    save_model(tmp_path / "m.safetensors", model)
    own = network(5)
    assert len(load_weights(own, tmp_path / "m.safetensors").taken) == len(own.state_dict())
    assert torch.equal(own(X), model.network(X))


def test_what_does_not_fit_is_told(tmp_path):
    theirs, own = network(1, classes=5), network(2)
    state = dict(theirs.unet.state_dict())
    lost = next(iter(state))
    del state[lost]
    state["extra"] = torch.zeros(2)
    torch.save(state, tmp_path / "w.pt")
    before = {k: v.clone() for k, v in own.state_dict().items()}
    match = load_weights(own, tmp_path / "w.pt")
    assert match.other_shape
    assert all("model.2" in name for name in match.other_shape)  # the block that gives classes
    assert match.missing == (f"unet.{lost}",)
    assert match.unused == ("unet.extra",)
    assert str(match) == (
        f"{len(match.taken)} weights taken; {len(match.other_shape)} of another shape there, which "
        f"begin anew: {', '.join(match.other_shape)}; 1 missing there, which begin anew: "
        f"unet.{lost}; 1 unused: unet.extra"
    )
    for name in (*match.other_shape, *match.missing):
        assert torch.equal(own.state_dict()[name], before[name])


def test_weights_that_fit_nowhere_are_refused(tmp_path):
    torch.save({"swin_vit.layers1.weight": torch.zeros(3)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"none of its 1 weights fits .* 'swin_vit.layers1.weight'"):
        load_weights(network(), tmp_path / "w.pt")


class Dangerous:
    def __reduce__(self):
        return (print, ("executed",))


def test_files_of_strangers_are_data(tmp_path, capsys):
    torch.save({"weight": Dangerous()}, tmp_path / "w.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "w.pt").read_bytes()[:200])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, message in (
        ("w.pt", "holds more than tensors"), ("cut.pt", "holds more than tensors, or is damaged"),
        ("empty.safetensors", "is no safetensors file"), ("list.pt", "holds no weights"),
        ("none.pt", "no such file"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message) as error:
            load_weights(network(), tmp_path / name)
        assert "\n" not in str(error.value)
    assert "executed" not in capsys.readouterr().out
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="is no"):
        load_model(tmp_path / "other.safetensors")


def test_a_model_of_another_domain(tmp_path):
    save_checkpoint(tmp_path / "other.safetensors", {"format": 1, "kind": "eeg"})
    with pytest.raises(UserError, match="is of format 1; expected 'nearfar-medical model 2'"):
        load_model(tmp_path / "other.safetensors")
