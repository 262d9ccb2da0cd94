"""CPC: from the past of a window, tell its future among the futures of other windows.

van den Oord, Li, Vinyals 2018 (arXiv 1807.03748); for inertial sensors Haresamudram, Essa, Plötz
2021 (arXiv 2012.05333).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import nearfar.functional as F
from nearfar_har.encoder import Encoder
from nearfar_har.pretext.task import Pretext, present_windows

__all__ = ["CPC"]


class CPC(Pretext):
    def __init__(self, encoder: Encoder, *, steps: int = 4, temperature: float = 0.1) -> None:
        """``steps``: how many time steps of the feature map ahead are told."""
        super().__init__(encoder)
        width = encoder.map_width
        self.steps = steps
        self.temperature = temperature
        self.context = nn.GRU(width, width, batch_first=True)
        self.predict = nn.ModuleList(nn.Linear(width, width) for _ in range(steps))

    def forward(self, signals: Tensor, present: Tensor, generator: torch.Generator) -> Tensor:
        x = present_windows(signals, present)
        h = self.encoder.feature_map(x).transpose(1, 2)  # n x T x width
        time = h.shape[1]
        ahead = min(self.steps, time - 1)
        if ahead < 1:
            return h.sum() * 0
        # One random end of the past a batch: the paper predicts from every time step.
        earliest = min(max(1, time // 2), time - ahead)
        now = int(torch.randint(earliest, time - ahead + 1, (), generator=generator))
        past, _ = self.context(h[:, :now])
        losses = [
            F.info_nce(head(past[:, -1]), h[:, now + k], temperature=self.temperature)
            for k, head in enumerate(list(self.predict)[:ahead])
        ]
        return torch.stack(losses).mean()
