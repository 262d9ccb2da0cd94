"""SogCLR and iSogCLR: each sample keeps its normaliser, so that small batches don't bias it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nearfar.batch import Group, all_of_ring, row_numbers, size_of
from nearfar.dispatch import Path, row_statistics
from nearfar.distributed import global_batch
from nearfar.inputs import embeddings, paired, scores_of
from nearfar.pairs import other
from nearfar.reduction import reduce
from nearfar.statistic import Statistic

__all__ = ["ISogCLR", "SogCLR"]


class SogCLR(nn.Module):
    """Stochastic optimisation of the global contrastive loss, Yuan et al. 2022 (arXiv 2202.12387).

    With ``h_ij = cos(i, j) - cos(i, i's other view)`` over the other samples' rows of both views
    and ``g_i = mean_j e^{h_ij / tau}``, each sample keeps ``u_i <- (1 - gamma) u_i + gamma g_i``,
    and the gradient is that of ``tau log`` at u_i instead of g_i. The value returned is a
    surrogate, ``tau g_i / u_i log g_i`` with the factor held: compare gradients, not values.

    Args:
        samples: of the training set; ``index`` counts them.
        gamma: 0 to 1; 1 forgets at once.
        temperature: above 0, tau.
        normalize: scale all rows to unit norm first.
        group: processes whose batches together are the batch; the state is then alike on all.

    Example:
        >>> loss = SogCLR(samples=100)
        >>> z = torch.eye(4)
        >>> bool(loss(z, z, torch.tensor([7, 8, 9, 30])) < 0)  # nearer to its own than to others
        True
    """

    log_u: Tensor

    def __init__(
        self,
        samples: int,
        *,
        gamma: float = 0.9,
        temperature: float = 0.1,
        normalize: bool = True,
        path: Path | None = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        if samples < 1 or not 0 < gamma <= 1 or not temperature > 0:
            raise ValueError(
                f"samples {samples}, gamma {gamma}, temperature {temperature}; expected 1 or more, "
                "above 0 to 1, above 0"
            )
        self.gamma, self.temperature = gamma, temperature
        self.normalize, self.path, self.group = normalize, path, group
        # A logarithm: e^{h / tau} of a hard negative overflows at small tau.
        self.register_buffer("log_u", torch.full((samples,), -torch.inf))

    def forward(self, view_a: Tensor, view_b: Tensor, index: Tensor) -> Tensor:
        """The surrogate of view_a, view_b [N, D] of the samples ``index`` [N] (without repeats).

        Raises:
            ValueError: shapes disagree, one sample alone, an index that is no sample.
        """
        return _of_batch(view_a, view_b, index, self, group=self.group)

    def surrogate(self, view_a: Tensor, view_b: Tensor, index: Tensor) -> Tensor:
        """:meth:`forward` on the whole batch; moves the state."""
        tau = self.temperatures(index, view_a)
        log_g, _ = self._log_g(view_a, view_b, index, tau.detach(), mean=False)
        log_u = self._update(log_g, index)
        held = (log_g.detach() - log_u.repeat(2)).exp()
        return reduce(tau.detach().repeat(2) * held * log_g, "mean")

    def temperatures(self, index: Tensor, like: Tensor) -> Tensor:
        """The temperature of each sample [N]."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        return torch.full(index.shape, self.temperature, device=like.device, dtype=dtype)

    def _log_g(
        self, view_a: Tensor, view_b: Tensor, index: Tensor, tau: Tensor, *, mean: bool
    ) -> tuple[Tensor, Tensor | None]:
        """log g [2N], and, where asked, the softmax mean of h / tau [2N]."""
        a = embeddings("view_a", view_a, normalize=self.normalize)
        b = embeddings("view_b", view_b, normalize=self.normalize, like=a)
        everyone = size_of(a)
        if len(a) != len(b) or everyone < 2:
            raise ValueError(
                f"view_a and view_b have {len(a)} and {len(b)} rows; expected as many of both, two "
                "or more"
            )
        samples = len(self.log_u)
        if index.shape != (len(a),) or index.is_floating_point():
            raise ValueError(
                f"index is {index.dtype} of shape {tuple(index.shape)}; expected integers "
                f"({len(a)},)"
            )
        if not 0 <= int(index.min()) <= int(index.max()) < samples:
            raise ValueError(f"index reaches {int(index.max())}; expected 0 to {samples - 1}")
        z = torch.cat([a, b])
        scale = 1 / tau.to(z).repeat(2)
        sample = row_numbers(a).repeat(2)
        rest = other(sample, sample)
        wanted = [Statistic("lse", rest), *([Statistic("mean", rest)] if mean else [])]
        scores = scores_of(z, z, scale, normalized=self.normalize)
        rows = row_statistics(scores, wanted, path=self.path)
        s = paired(z, torch.cat([b, a]), scale)
        return rows[0] - s - math.log(2 * everyone - 2), rows[1] - s if mean else None

    @torch.no_grad()
    def _update(self, log_g: Tensor, index: Tensor) -> Tensor:
        """Moves u towards the mean of both views' g; gives log u [N]."""
        new = torch.logaddexp(*log_g.detach().to(self.log_u).chunk(2)) - math.log(2)
        old = self.log_u[index]
        if self.gamma < 1:
            moved = torch.logaddexp(old + math.log(1 - self.gamma), new + math.log(self.gamma))
            new = torch.where(old.isinf(), new, moved)
        self._keep(self.log_u, index, new)
        return new.to(log_g)

    def _keep(self, state: Tensor, index: Tensor, values: Tensor) -> None:
        """Writes values [N] of samples ``index`` [N], and in a ring every process's."""
        state[all_of_ring(index)] = all_of_ring(values)


class ISogCLR(SogCLR):
    """SogCLR with a temperature a sample, learnt with it; Qiu et al. 2023 (arXiv 2305.11965).

    Minimises ``tau_i log g_i + tau_i rho`` over tau_i too, by momentum steps on ``log u_i + rho -
    E[h / tau_i]`` (weights ``e^{h / tau} / u_i``) while training: a row of a frequent concept gets
    a high temperature and keeps its structure, a rare one a low one.

    Args:
        temperature: what all begin with. rho: larger lowers temperatures. rate, momentum: of their
            steps. bounds: of temperatures. clip: of their gradients.

    Example:
        >>> loss = ISogCLR(samples=10)
        >>> loss.tau.shape
        torch.Size([10])
    """

    tau: Tensor
    velocity: Tensor

    def __init__(
        self,
        samples: int,
        *,
        gamma: float = 0.8,
        temperature: float = 0.07,
        rho: float = 6.0,
        rate: float = 1e-3,
        momentum: float = 0.9,
        bounds: tuple[float, float] = (0.05, 1.0),
        clip: float = 3.0,
        normalize: bool = True,
        path: Path | None = None,
        group: Group = None,
    ) -> None:
        super().__init__(
            samples, gamma=gamma, temperature=temperature, normalize=normalize, path=path,
            group=group,
        )  # fmt: skip
        if not 0 < bounds[0] <= temperature <= bounds[1]:
            raise ValueError(
                f"bounds are {bounds}; expected temperature {temperature} between them"
            )
        self.rho, self.rate, self.momentum = rho, rate, momentum
        self.bounds, self.clip = bounds, clip
        self.register_buffer("tau", torch.full((samples,), float(temperature)))
        self.register_buffer("velocity", torch.zeros(samples))

    def temperatures(self, index: Tensor, like: Tensor) -> Tensor:
        return self.tau[index].to(torch.promote_types(like.dtype, torch.float32))

    def surrogate(self, view_a: Tensor, view_b: Tensor, index: Tensor) -> Tensor:
        tau = self.temperatures(index, view_a)
        log_g, h = self._log_g(view_a, view_b, index, tau, mean=True)
        assert h is not None
        log_u = self._update(log_g, index)
        held = (log_g.detach() - log_u.repeat(2)).exp()
        if self.training:
            slope = log_u + self.rho - (held * h.detach()).view(2, -1).mean(0)
            self._step(slope, index)
        return reduce(tau.repeat(2) * held * log_g, "mean")

    @torch.no_grad()
    def _step(self, slope: Tensor, index: Tensor) -> None:
        slope = slope.clamp(-self.clip, self.clip).to(self.velocity)
        velocity = (1 - self.momentum) * self.velocity[index] + self.momentum * slope
        tau = (self.tau[index] - self.rate * velocity).clamp(*self.bounds)
        self._keep(self.velocity, index, velocity)
        self._keep(self.tau, index, tau)


@global_batch("view_a", "view_b", "index")
def _of_batch(
    view_a: Tensor, view_b: Tensor, index: Tensor, loss: SogCLR, *, group: Group = None
) -> Tensor:
    return loss.surrogate(view_a, view_b, index)
