"""A judge on this machine: a causal language model of transformers, candidates scored in turn."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from nearfar_kit.errors import UserError
from nearfar_kit.local_models import load_local
from nearfar_tables.conflicts.question import Answer, Question

__all__ = ["LocalJudge"]


class LocalJudge:
    """Chooses the candidate whose tokens are likeliest after the prompt, in the mean.

    Args:
        model: a folder of transformers with safetensors weights, or a GGUF file. Nothing is
            downloaded, and no code of the folder is run.

    Raises:
        UserError: there is none, or it is no causal language model; transformers is not installed.
    """

    name = "local"

    def __init__(self, model: Path, device: str = "cpu") -> None:
        self.device = device
        self.model, self.tokenizer = _loaded(model, device)

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        return [self._answer(question) for question in questions]

    @torch.no_grad()
    def _answer(self, question: Question) -> Answer:
        scores = torch.tensor([self._score(question.prompt(), c) for c in question.candidates])
        shares = scores.softmax(dim=0)
        best = int(scores.argmax())
        return Answer(best, float(shares[best]))

    def _score(self, prompt: str, candidate: str) -> float:
        """Mean log probability of the candidate's tokens."""
        before = self._tokens(prompt)
        whole = self._tokens(f"{prompt} {candidate}")
        # Tokens may run over the seam: what differs is the candidate's.
        seam = next((n for n, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b),
                    min(len(before), len(whole) - 1))  # fmt: skip
        seam = max(seam, 1)
        ids = torch.tensor([whole], device=self.device)
        logits = self.model(input_ids=ids).logits[0, seam - 1 : -1].float()
        own = ids[0, seam:]
        return float(-torch.nn.functional.cross_entropy(logits, own))

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids


def _loaded(path: Path, device: str) -> tuple[Any, Any]:
    if find_spec("transformers") is None:
        raise UserError(
            "a local judge needs transformers: pip install 'nearfar-tables[transformers]'"
        )
    if not path.exists():
        raise UserError(f"{path}: no such folder or file; expected a causal language model")
    folder, gguf = (path.parent, path.name) if path.is_file() else (path, None)
    tokenizer, model = load_local(
        folder, "AutoModelForCausalLM", "causal language model", gguf=gguf
    )
    return model.to(device), tokenizer
