"""Gradient caching: a large batch's exact gradient through an encoder that fits a small one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["grad_cache_step"]


class _Chance:
    """The state of all random generators that an encoder's dropout may draw from."""

    def __init__(self, device: torch.device) -> None:
        self.devices = [device] if device.type == "cuda" else []
        self.cpu = torch.get_rng_state()
        self.cuda = [torch.cuda.get_rng_state(d) for d in self.devices]

    def again(self) -> None:
        torch.set_rng_state(self.cpu)
        for device, state in zip(self.devices, self.cuda, strict=True):
            torch.cuda.set_rng_state(state, device)


def grad_cache_step(
    encoders: Sequence[Callable[[Tensor], Tensor]],
    inputs: Sequence[Tensor],
    loss: Callable[..., Tensor],
    *,
    chunk: int,
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Tensor:
    """Accumulates the gradient of ``loss(*embeddings)`` over a batch of any size.

    Gao et al. 2021 (arXiv 2101.06983). Chunks are encoded without a graph; the loss gives each
    embedding's gradient; chunks are encoded again, the same dropout replayed, and take that
    gradient in. Exact for encoders that treat samples one by one: BatchNorm in training mode does
    not, and sees each chunk twice. Under DDP make the call inside ``no_sync()`` and average the
    gradients after it.

    Args:
        encoders: one for each of ``inputs``; the same may stand twice.
        inputs: tensors [N, ...]; N may differ.
        loss: of the embeddings; its own parameters (a temperature) get their gradient too.
        chunk: samples encoded at a time.
        backward: how to go backward from a loss, say ``scaler``'s or ``fabric``'s.
        autocast: a context manager's factory that encoders run in.

    Returns:
        The loss, detached.

    Example:
        >>> from nearfar import NTXent
        >>> encoder = torch.nn.Linear(3, 2)
        >>> a, b = torch.randn(2, 8, 3)
        >>> loss = grad_cache_step([encoder, encoder], [a, b], NTXent(), chunk=2)
        >>> encoder.weight.grad.shape
        torch.Size([2, 3])
    """
    if len(encoders) != len(inputs):
        raise ValueError(f"{len(encoders)} encoders for {len(inputs)} inputs; expected as many")
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected at least 1")
    states: list[list[_Chance]] = []
    embedded: list[Tensor] = []
    with torch.no_grad():
        for encoder, x in zip(encoders, inputs, strict=True):
            parts, own = [], []
            for part in torch.split(x, chunk):
                own.append(_Chance(part.device))
                with autocast():
                    parts.append(encoder(part))
            states.append(own)
            embedded.append(torch.cat(parts).detach().requires_grad_())
    after = _Chance(inputs[0].device)
    value = loss(*embedded)
    backward(value)
    for encoder, x, z, own in zip(encoders, inputs, embedded, states, strict=True):
        if z.grad is None:
            continue
        pairs = zip(torch.split(x, chunk), torch.split(z.grad, chunk), own, strict=True)
        for part, gradient, state in pairs:
            state.again()
            with autocast():
                again = encoder(part)
            # Its gradient to the embeddings is exactly the one that was cached.
            torch.autograd.backward(again, gradient)
    after.again()
    return value.detach()
