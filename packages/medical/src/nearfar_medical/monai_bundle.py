"""A model as a MONAI bundle: what ``monai.bundle``, MONAI Label and MONAI Deploy load.

``configs/inference.json`` prepares volumes with MONAI's own transforms and puts masks back on each
file's voxels; ``models/model.pt`` is the state of a plain ``monai.networks.nets.UNet``. It needs
none of nearfar. Where volumes have another spacing than the model's, MONAI's resampling differs
from ours by fractions of a voxel, and masks by voxels at the border.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearfar_kit.errors import UserError
from nearfar_medical.codes import codes_of, gapless, to_codes
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.weights import Model, unet_state

__all__ = ["export_bundle"]

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)


def export_bundle(model: Model, folder: Path) -> None:
    """Writes ``configs/``, ``models/`` and ``docs/`` into a new folder.

    Raises:
        UserError: the folder is there already, or cannot be made.
    """
    if folder.exists():
        raise UserError(f"--out {folder}: is there already; expected a new folder")
    beside = folder.parent / f".{folder.name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for name in ("configs", "models", "docs"):
            (beside / name).mkdir(parents=True)
        for name, content in (("inference", _inference(model)), ("metadata", _metadata(model))):
            text = json.dumps(content, indent=4) + "\n"
            (beside / "configs" / f"{name}.json").write_text(text, encoding="utf-8")
        (beside / "docs" / "README.md").write_text(_readme(model), encoding="utf-8")
        torch.save(unet_state(model), beside / "models" / "model.pt")
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written ({error.strerror})") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _per_axis(s: MedicalSettings, across: Any, within: tuple[Any, Any]) -> list[Any]:
    """What belongs to the slice axis and to the two others, in the order of RAS."""
    values = list(within)
    assert s.slice_axis is not None
    values.insert(s.slice_axis, across)
    return values


def _inference(model: Model) -> dict[str, Any]:
    s = model.settings
    assert s.size is not None
    assert s.spacing is not None
    low, high = s.percentiles
    kind = to_codes(np.zeros(1, np.uint8), model.classes).dtype
    asked = _per_axis(s, s.thickness or -1, s.spacing)  # MONAI keeps what is below 0 as it is
    prepare: list[dict[str, Any]] = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "EnsureTyped", "keys": "image", "track_meta": True},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
        {"_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": low,
         "upper": high, "b_min": 0.0, "b_max": 1.0, "clip": False, "channel_wise": True},
        {"_target_": "Spacingd", "keys": "image", "pixdim": asked, "mode": "bilinear",
         "scale_extent": True, "align_corners": False},
        {"_target_": "ResizeWithPadOrCropd", "keys": "image",
         "spatial_size": _per_axis(s, -1, s.size)},
    ]  # fmt: skip
    if s.dims == 2:
        inferer: dict[str, object] = {"_target_": "SliceInferer", "roi_size": list(s.size),
                   "spatial_dim": s.slice_axis, "sw_batch_size": 32, "overlap": 0}  # fmt: skip
    else:
        order = [0, 1, 2]
        order.remove(s.slice_axis or 0)
        # The network's patches have the slice axis in front.
        prepare.append(
            {"_target_": "Transposed", "keys": "image",
             "indices": [0, *(axis + 1 for axis in (s.slice_axis or 0, *order))]}
        )  # fmt: skip
        inferer = {"_target_": "SlidingWindowInferer", "roi_size": list(s.image_shape),
                   "sw_batch_size": 2, "overlap": 0.5, "mode": "gaussian"}  # fmt: skip
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "datalist": "$[{'image': f} for f in sorted(glob.glob(os.path.join(@dataset_dir, "
                    "'*.nii*')))]",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": "UNet", **model.network.recipe()},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": prepare},
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1,
                       "shuffle": False, "num_workers": 0},
        "inferer": inferer,
        "postprocessing": {"_target_": "Compose", "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing",
             "orig_keys": "image", "nearest_interp": False, "to_tensor": True},
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            *_recoded(model),
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir",
             "output_postfix": "mask", "output_dtype": f"$np.{kind}", "resample": False,
             "separate_folder": False},
        ]},
        "handlers": [
            {"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/model.pt'",
             "load_dict": {"model": "@network"}},
        ],
        "evaluator": {"_target_": "SupervisedEvaluator", "device": "@device",
                      "val_data_loader": "@dataloader", "network": "@network",
                      "inferer": "@inferer", "postprocessing": "@postprocessing",
                      "val_handlers": "@handlers"},
        "run": ["$@evaluator.run()"],
    }  # fmt: skip


def _recoded(model: Model) -> list[dict[str, Any]]:
    """From the network's numbers to the codes of masks, where they differ."""
    codes = codes_of(model.classes)
    if gapless(codes):
        return []
    return [{"_target_": "MapLabelValued", "keys": "pred", "orig_labels": list(range(len(codes))),
             "target_labels": codes}]  # fmt: skip


def _metadata(model: Model) -> dict[str, Any]:
    s = model.settings
    # By the channels of the network's output; the codes of masks are in the bundle's README.
    names = [model.classes[code] for code in codes_of(model.classes)]
    classes = {str(number): name for number, name in enumerate(names)}
    image = {"type": "image", "format": "magnitude", "num_channels": len(model.channels),
             "spatial_shape": list(s.image_shape), "dtype": "float32", "value_range": [],
             "is_patch_data": s.dims == 3,
             "channel_def": {str(n): name for n, name in enumerate(model.channels)}}  # fmt: skip
    found = {"type": "image", "format": "segmentation", "num_channels": len(classes),
             "spatial_shape": list(s.image_shape), "dtype": "float32", "value_range": [0, 1],
             "is_patch_data": s.dims == 3, "channel_def": classes}  # fmt: skip
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": "exported by nearfar-medical"},
        "monai_version": importlib.metadata.version("monai"),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": importlib.metadata.version("numpy"),
        "required_packages_version": {
            "nibabel": importlib.metadata.version("nibabel"), "pytorch-ignite": "0.5",
        },
        "name": "nearfar-medical segmentation",
        "task": "segmentation from few labels",
        "description": "Trained with nearfar-medical: global and local contrast, then few labels.",
        "authorship": "",
        "copyright": "",
        "intended_use": "Research only. Not a medical device.",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": found}},
    }  # fmt: skip


def _readme(model: Model) -> str:
    names = ", ".join(f"{value} {name}" for value, name in sorted(model.classes.items()))
    return f"""# Segmentation, exported by nearfar-medical

Classes: {names}. Research only; not a medical device.

```
python -m monai.bundle run --config_file configs/inference.json --dataset_dir FOLDER
```

takes every NIfTI file of FOLDER and writes masks on its voxels to `eval/`. It needs monai, nibabel,
pytorch-ignite and fire.
"""
