"""DNABERT-2 by its definition, a page long: one sequence, no padding, one head at a time."""

from __future__ import annotations

import math

import torch


def layer_norm(x, w, name):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]


def slopes(heads):
    """Of ALiBi: (2^-8/n)^1.. for n a power of two, else filled up with every second of 2n's."""
    power = 1
    while 2 * power <= heads:
        power *= 2
    found = [(2 ** (-8 / power)) ** (h + 1) for h in range(power)]
    if power < heads:
        found += slopes(2 * power)[0::2][: heads - power]
    return found


def dnabert(w, tokens, layers, heads):
    """The mean over tokens of the last layer: w the published tensors by name, tokens [T]."""
    x = w["embeddings.word_embeddings.weight"][tokens]
    x = layer_norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "embeddings.LayerNorm")
    t, width = x.shape
    size = width // heads
    for n in range(layers):
        at = f"encoder.layer.{n}"
        qkv = x @ w[f"{at}.attention.self.Wqkv.weight"].T + w[f"{at}.attention.self.Wqkv.bias"]
        parts = []
        for h in range(heads):
            q, k, v = (
                qkv[:, part * width + h * size : part * width + (h + 1) * size] for part in range(3)
            )
            scores = q @ k.T / math.sqrt(size)
            for i in range(t):
                for j in range(t):
                    scores[i, j] -= slopes(heads)[h] * abs(i - j)
            parts.append(scores.softmax(1) @ v)
        mixed = torch.cat(parts, 1)
        mixed = mixed @ w[f"{at}.attention.output.dense.weight"].T
        mixed = mixed + w[f"{at}.attention.output.dense.bias"]
        x = layer_norm(x + mixed, w, f"{at}.attention.output.LayerNorm")
        gated = x @ w[f"{at}.mlp.gated_layers.weight"].T
        half = gated.shape[1] // 2
        gate, values = gated[:, :half], gated[:, half:]
        gate = gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2)))
        fed = (gate * values) @ w[f"{at}.mlp.wo.weight"].T + w[f"{at}.mlp.wo.bias"]
        x = layer_norm(x + fed, w, f"{at}.mlp.layernorm")
    return x.mean(0)


def random_weights(vocabulary, width, layers, hidden):
    """Tensors by the names that the release gives them, a head and a pooler among them."""
    g = torch.Generator().manual_seed(0)

    def draw(*shape):
        return 0.4 * torch.randn(*shape, generator=g)

    w = {
        "embeddings.word_embeddings.weight": draw(vocabulary, width),
        "embeddings.token_type_embeddings.weight": draw(2, width),
        "embeddings.LayerNorm.weight": 1 + draw(width),
        "embeddings.LayerNorm.bias": draw(width),
    }
    for n in range(layers):
        at = f"encoder.layer.{n}"
        w |= {
            f"{at}.attention.self.Wqkv.weight": draw(3 * width, width),
            f"{at}.attention.self.Wqkv.bias": draw(3 * width),
            f"{at}.attention.output.dense.weight": draw(width, width),
            f"{at}.attention.output.dense.bias": draw(width),
            f"{at}.attention.output.LayerNorm.weight": 1 + draw(width),
            f"{at}.attention.output.LayerNorm.bias": draw(width),
            f"{at}.mlp.gated_layers.weight": draw(2 * hidden, width),
            f"{at}.mlp.wo.weight": draw(width, hidden),
            f"{at}.mlp.wo.bias": draw(width),
            f"{at}.mlp.layernorm.weight": 1 + draw(width),
            f"{at}.mlp.layernorm.bias": draw(width),
        }
    return w
