"""Features refined by the loss L_{inf,n0}, in one call for linear f and networks."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sslaudit.train.boost import finite
from sslaudit.train.boost.linear import pretext_moments
from sslaudit.train.boost.network import STEPS as NETWORK_STEPS
from sslaudit.train.boost.network import train_network
from sslaudit.train.losses.pretext import residual

NETWORKS = ("linear", "mlp")
_ROUNDING = 16 * float(np.finfo(np.float32).eps)
"""A feature that varies by less, relative to its largest value, is constant: f in single precision could
not tell its values apart, and embeddings differ by as much for the batch that they were computed in."""


class Refined(nn.Sequential):
    """f: features (B, D) of any floating type to refined ones (B, d_f), in single precision.

    Linear layers and ReLU alone; the standardisation of the features is part of the first layer.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) to (B, d_f)."""
        refined = features.to(next(self.parameters()).dtype)
        for layer in self:
            refined = layer(refined)
        return refined


@dataclass(frozen=True, kw_only=True, slots=True)
class Refinement:
    """The refined features, and what they reach on the samples they were learned from."""

    module: Refined
    """In evaluation mode."""
    loss: float
    """The label term minus lambda times the pretext term."""
    label_term: float
    """(1/n0) ||Y - W f(X_down)||^2, W fitted on the same n0 samples: 0 for n0 <= d_f."""
    pretext_term: float
    """(1/N) ||Z - W f(X_pre)||^2."""
    lam: float
    dim: int
    """d_f."""
    n0: int
    """Downstream samples."""
    network: str


def refine(
    x_pre: Any,
    z: Any,
    x_down: Any,
    y: Any,
    *,
    lam: float,
    dim: int,
    network: str = "linear",
    seed: int = 0,
    steps: int | None = None,
    intercept: bool = True,
    on_step: Callable[[int, float], None] | None = None,
) -> Refinement:
    """The f of ``dim`` dimensions with small L_{inf,n0}, on top of frozen features.

    ``x_pre`` (N, D) and ``x_down`` (n0, D) are features of pretext and downstream samples, which may
    overlap; ``z`` (N, d_z) pretext targets, ``y`` (n0, k) labels, one-hot for classes: arrays or tensors.
    A linear f has E ff' = 1 over the pretext samples and is the best that L-BFGS finds from a closed form
    and from a random f; ``mlp`` is a network of two layers. ``steps`` limits the iterations of each
    start, or is the number of steps of the network. ``on_step`` gets the number of the step and its loss.
    Equal input gives equal weights. Raises ``ValueError`` for other shapes, values that are not finite,
    lam that is not above 0, ``dim`` above the rank of ``x_pre`` (linear) or not below N - 1, and unknown
    networks; ``TrainingError`` when the network diverges.
    Source: Teng et al., AISTATS 2022, the loss before Theorem 3.
    """
    x_pre, z, x_down, y = (
        _matrix(a, name) for a, name in ((x_pre, "x_pre"), (z, "z"), (x_down, "x_down"), (y, "y"))
    )
    _check(x_pre, z, x_down, y, lam, dim, network, steps)
    mean = x_pre.mean(dim=0) if intercept else torch.zeros(x_pre.shape[1], dtype=x_pre.dtype)
    spread = (x_pre - mean).square().mean(dim=0).sqrt()
    varies = spread > _ROUNDING * x_pre.abs().amax(dim=0)
    scale = varies / spread.where(varies, 1.0)  # 0 for a constant feature
    white_pre, white_down = (x_pre - mean) * scale, (x_down - mean) * scale
    if network == "linear":
        found = finite.minimise(
            pretext_moments(white_pre.numpy(), z.numpy(), intercept=intercept),
            white_down.numpy(),
            y.numpy(),
            lam=lam,
            dim=dim,
            rng=np.random.default_rng(seed),
            intercept=intercept,
            steps=steps or finite.STEPS,
            on_step=on_step,
        )
        layers = nn.Sequential(_layer(found.weight))
    else:
        layers = train_network(
            white_pre,
            z,
            white_down,
            y,
            lam=lam,
            dim=dim,
            seed=seed,
            intercept=intercept,
            steps=steps or NETWORK_STEPS,
            on_step=on_step,
        )
    module = _on_raw_features(layers, mean, scale)
    with torch.no_grad():
        label = float(residual(y, module(x_down), intercept=intercept))
        pretext = float(residual(z, module(x_pre), intercept=intercept))
    return Refinement(
        module=module,
        loss=label - lam * pretext,
        label_term=label,
        pretext_term=pretext,
        lam=lam,
        dim=dim,
        n0=len(x_down),
        network=network,
    )


def _check(
    x_pre: Tensor, z: Tensor, x_down: Tensor, y: Tensor, lam: float, dim: int, network: str, steps: int | None
) -> None:
    if len(x_pre) != len(z) or len(x_down) != len(y) or x_pre.shape[1] != x_down.shape[1]:
        shapes = ", ".join(str(tuple(a.shape)) for a in (x_pre, z, x_down, y))
        raise ValueError(f"x_pre (N, D), z (N, d_z), x_down (n0, D), y (n0, k) do not fit: {shapes}.")
    if not 0 < lam < math.inf:
        raise ValueError(f"lambda is a number above 0, not {lam}.")
    if not 1 <= dim < len(x_pre) - 1:
        raise ValueError(
            f"f of 1 to N - 2 dimensions is learned from N = {len(x_pre)} samples, not of {dim}."
        )
    if steps is not None and steps < 1:
        raise ValueError(f"refining takes 1 step or more, not {steps}.")
    if network not in NETWORKS:
        raise ValueError(f"network '{network}' is none of {', '.join(NETWORKS)}.")


def _layer(weight: np.ndarray) -> nn.Linear:
    """The layer x -> A x."""
    with torch.device("meta"):  # draws no weights, so that torch's generator stays as it was
        layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight = nn.Parameter(torch.from_numpy(weight))
    layer.bias = nn.Parameter(torch.zeros(len(weight), dtype=torch.float64))
    return layer


def _on_raw_features(layers: nn.Sequential, mean: Tensor, scale: Tensor) -> Refined:
    """The layers with (x - mean) * scale folded into the first, in single precision."""
    layers = layers.double()
    weight, bias = (parameter.data for parameter in layers[0].parameters())
    weight *= scale
    bias -= weight @ mean
    return Refined(*layers).float().eval().requires_grad_(False)


def _matrix(values: Any, name: str) -> Tensor:
    """``values`` as float64 on the CPU."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    matrix = torch.from_numpy(np.array(values, dtype=np.float64, order="C"))
    if matrix.ndim != 2 or not matrix.numel():
        raise ValueError(f"{name} has two axes, none of them 0, not {tuple(matrix.shape)}.")
    if not torch.isfinite(matrix).all():
        raise ValueError(f"{name} is not all finite.")
    return matrix
