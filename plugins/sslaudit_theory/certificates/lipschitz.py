"""Lipschitz constants of an encoder from pixels to features, from below and from above.

``empirical_lipschitz`` and ``jacobian_norm`` look at some points, so they under-estimate L: in a bound
they err on the unsafe side and are labelled "empirical, not a bound". ``certified_lipschitz`` multiplies
norms of layers, which over-estimates L: safe, and often by far too much, since the directions that
layers stretch most seldom meet. Attention has no finite L on all inputs; layer norm has one only
through its epsilon, too large to be of use. For both there is none here.

The theorem holds L only in the product L delta / r, which does not change when pixels are scaled; here
they lie in [0, 1]. For features on the sphere, f = r g / ||g||, the local constant is
r ||(I - u u') J_g|| / ||g|| with u = g / ||g||. Over all inputs it needs the least ||g||, so a certified
L of g gives none of f.
Sources: Huang et al., ICLR 2023, Theorem 1 (L); Sedghi et al., ICLR 2019 (norms of convolutions).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrize import type_before_parametrizations

from sslaudit_theory.sigma.augmented import BLOCK_BYTES, distance_blocks

_ROUNDING = 1e-5
"""Of the largest feature norm: features of equal pixels may differ by what a float32 network rounds."""


@dataclass(frozen=True, slots=True)
class LipschitzEstimate:
    """A lower bound of L: the steepest pair of views that was seen. Empirical, not a bound."""

    value: float
    """Feature distance over pixel distance, pixels in [0, 1]."""
    pair: tuple[tuple[int, int], tuple[int, int]]
    """Image and view of both ends."""


def empirical_lipschitz(
    features: ArrayLike, pixels: ArrayLike, *, block_bytes: int = BLOCK_BYTES
) -> LipschitzEstimate:
    """The largest secant ||f(a) - f(b)|| / ||a - b|| over all pairs of views: a lower bound of L.

    Takes features (n, V, D) and pixels (n, V, P), uint8 or floats in units of [0, 1]. Pairs of equal
    pixels say nothing. Raises ``ValueError`` where their features differ by more than 1e-5 of the
    largest norm (no function of the pixels does that), for other shapes, for values that are not
    finite, and where all pixels are equal.
    Source: Huang et al., ICLR 2023, the L-Lipschitz encoder of Theorem 1.
    """
    features, pixels = np.asarray(features), np.asarray(pixels)
    if features.ndim != 3 or pixels.ndim != 3 or features.shape[:2] != pixels.shape[:2]:
        raise ValueError(
            f"features (n, V, D) and pixels (n, V, P) do not match: {features.shape}, {pixels.shape}."
        )
    count = features.shape[1]
    ends = [array.reshape(-1, 1, array.shape[2]) for array in (features, pixels)]
    scale = 1 / 255 if pixels.dtype == np.uint8 else 1.0
    slack = _ROUNDING * float(np.linalg.norm(features.astype(np.float64), axis=2).max(initial=0.0))
    best, pair = -1.0, (0, 0)
    for rise, run in zip(
        distance_blocks(ends[0], None, block_bytes=block_bytes),
        distance_blocks(ends[1], None, scale=scale, block_bytes=block_bytes),
        strict=True,
    ):
        equal = run.distances == 0
        if (rise.distances[equal] > slack).any():
            raise ValueError("views with the same pixels have different features: no function of the pixels.")
        secants = np.divide(rise.distances, run.distances, out=np.full(equal.shape, -1.0), where=~equal)
        i, j = np.unravel_index(secants.argmax(), secants.shape)
        if secants[i, j] > best:
            best, pair = float(secants[i, j]), (rise.rows.start + int(i), rise.columns.start + int(j))
    if best < 0:
        raise ValueError("all views have the same pixels, so there is no secant.")
    first, second = (divmod(row, count) for row in pair)
    return LipschitzEstimate(best, (first, second))


def jacobian_norm(
    function: Callable[[Tensor], Tensor], point: Tensor, rng: np.random.Generator, steps: int = 20
) -> float:
    """Largest singular value of the Jacobian of ``function`` at ``point``, from below.

    Power iteration on J'J with products of J only; ``point`` is one input in the shape that
    ``function`` takes. A lower bound of L, empirical.
    Source: power iteration on J'J.
    """
    point = point.detach().requires_grad_()
    direction = torch.from_numpy(rng.normal(size=tuple(point.shape))).to(point)
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
        image = function(point)
        dual = torch.zeros_like(image, requires_grad=True)
        (pulled,) = torch.autograd.grad(image, point, dual, create_graph=True)
        stretch = 0.0
        for _ in range(max(1, steps)):
            direction = direction / torch.linalg.vector_norm(direction)
            # J'u is linear in u, so its own gradient is J: no layer needs a forward-mode derivative.
            (pushed,) = torch.autograd.grad(pulled, dual, direction, retain_graph=True)
            stretch = max(stretch, float(torch.linalg.vector_norm(pushed)))
            (direction,) = torch.autograd.grad(image, point, pushed, retain_graph=True)
            if not torch.any(direction):
                break
    return stretch


def certified_lipschitz(
    module: nn.Module, pixel_std: float | Sequence[float], *, input_shape: tuple[int, int, int] | None = None
) -> tuple[float | None, str]:
    """An upper bound of L, from pixels in [0, 1] to the output of ``module``, and what it is or why not.

    The product of norms of the layers, times 1 / min ``pixel_std`` for the normalisation before it.
    Layers: ``nn.Sequential`` of linear, convolution, batch norm in evaluation, pooling and the usual
    activations, and torchvision's ResNets, whose residual blocks add the norm of the shortcut.
    ``input_shape`` (3, H, W) is used by adaptive pooling alone, which is bounded more loosely without.
    None for any other layer. A ResNet-18 takes a minute or two.

    Raises ``ValueError`` for a standard deviation that is not positive and weights that are not finite.
    """
    least = float(np.min(pixel_std))
    if not (math.isfinite(least) and least > 0):
        raise ValueError(f"standard deviations of pixels are positive, not {pixel_std}.")
    sample = None
    if input_shape is not None:
        weight = next(module.parameters(), torch.zeros(()))
        sample = torch.zeros(1, *input_shape, dtype=weight.dtype, device=weight.device)
    try:
        with torch.no_grad():
            bound, _ = _chain([module], sample)
    except _NoBound as reason:
        return None, f"no finite certified L: {reason}"
    if not math.isfinite(bound):
        return None, "no finite certified L: the product of the norms of all layers overflows"
    return bound / least, "certified upper bound: product of the norms of all layers"


class _NoBound(Exception):
    """Names the layer that has no norm here, and why."""


def _chain(layers: Iterable[nn.Module], sample: Tensor | None) -> tuple[float, Tensor | None]:
    """The product of the norms of ``layers``, and what they make of ``sample``."""
    bound = 1.0
    for layer in layers:
        kind = type_before_parametrizations(layer)
        if layer._forward_hooks or layer._forward_pre_hooks:
            raise _NoBound(f"{kind.__name__} has hooks, which may do anything")
        if layer.training and isinstance(layer, _OF_TRAINING):
            raise _NoBound(f"{kind.__name__} is in training mode")
        if parts := _parts(layer, kind):
            norm, sample = _chain(parts, sample)
        elif _is_torchvision(kind, "BasicBlock", "Bottleneck") and type(layer.relu) is nn.ReLU:
            norm, sample = _residual(layer, sample)
        elif kind in _NORMS:
            norm = _NORMS[kind](layer, sample)
            sample = None if sample is None else layer(sample)
        else:
            raise _NoBound(f"{kind.__name__} has no global Lipschitz constant that is known here")
        bound *= norm
    return bound, sample


def _parts(layer: nn.Module, kind: type) -> list[nn.Module]:
    """The layers of a container, in the order of its forward pass; none of other modules."""
    if isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward:
        return list(layer) or [nn.Identity()]
    if _is_torchvision(kind, "ResNet"):
        *convolutions, head = layer.children()
        return [*convolutions, nn.Flatten(), head]
    return []


def _is_torchvision(kind: type, *names: str) -> bool:
    return kind.__module__ == "torchvision.models.resnet" and kind.__name__ in names


def _residual(block: nn.Module, sample: Tensor | None) -> tuple[float, Tensor | None]:
    """Branch and shortcut of torchvision's ResNets; the ReLU after their sum has norm 1."""
    stages = [layer for name, layer in block.named_children() if name not in ("relu", "downsample")]
    bound, outcome = _chain(stages, sample)
    shortcut = getattr(block, "downsample", None)
    return bound + (1.0 if shortcut is None else _chain([shortcut], sample)[0]), outcome


def _spectral_norm(matrices: Tensor) -> float:
    """Largest singular value of matrices (..., a, b), rounded up."""
    if not torch.isfinite(matrices).all():
        raise ValueError("weights hold values that are not finite.")
    a, b = matrices.shape[-2:]
    gram = matrices @ matrices.mH if a <= b else matrices.mH @ matrices
    largest = float(torch.linalg.eigvalsh(gram)[..., -1].max())
    return math.sqrt(max(0.0, largest)) * (1 + 4 * max(a, b) * torch.finfo(torch.float64).eps)


def _linear(layer: nn.Linear) -> float:
    return _spectral_norm(layer.weight.detach().cpu().double())


def _convolution(layer: nn.Conv2d) -> float:
    """Bound of the operator for every input size, at most a few percent above its limit for large inputs.

    A convolution padded with zeros is a part of the one on an endless image, whose norm is the largest of
    its transfer matrices sum_k K_k exp(i w k) over the frequencies w. A stride s makes s^2 channels of
    each. |u' K(w) v|^2 is a trigonometric polynomial of degree m - 1 for m taps, and near its peak it
    falls no faster than a cosine of that degree (M. Riesz, 1914), so on a grid of N frequencies it
    reaches cos((m - 1) pi / N) of its peak.
    """
    if layer.padding_mode != "zeros":
        raise _NoBound(f"Conv2d with padding_mode '{layer.padding_mode}' repeats pixels")
    kernel = layer.weight.detach().cpu().double()
    for axis, (dilation, stride) in enumerate(zip(layer.dilation, layer.stride, strict=True), start=2):
        if stride > 1:
            kernel = _spread(kernel, axis, dilation, stride)  # else dilation only rescales frequencies
    (out, channels, *sides), (down, across) = kernel.shape, layer.stride
    height, width = sides[0] // down, sides[1] // across
    kernel = kernel.reshape(out, channels, height, down, width, across).permute(0, 1, 3, 5, 2, 4)
    kernel = kernel.reshape(layer.groups, out // layer.groups, -1, height, width)
    rows, columns = (_grid(taps, min(kernel.shape[1:3])) for taps in (height, width))
    spectra = torch.fft.fft(kernel, n=columns, dim=4)
    largest = 0.0
    for row in range(rows // 2 + 1):  # the other half are conjugates
        phases = torch.exp(torch.arange(height, dtype=torch.float64) * (-2j * math.pi * row / rows))
        largest = max(largest, _spectral_norm(torch.einsum("goikw,k->gwoi", spectra, phases)))
    fall = math.cos((height - 1) * math.pi / rows) * math.cos((width - 1) * math.pi / columns)
    return largest / math.sqrt(fall)


def _spread(kernel: Tensor, axis: int, dilation: int, stride: int) -> Tensor:
    """The kernel with the zeros of its dilation, and more up to a multiple of the stride."""
    taps = (kernel.shape[axis] - 1) * dilation + 1
    shape = list(kernel.shape)
    shape[axis] = -(-taps // stride) * stride
    return kernel.new_zeros(shape).index_copy_(axis, torch.arange(0, taps, dilation), kernel)


def _grid(taps: int, size: int) -> int:
    """Frequencies along an axis: fewer where each costs the spectrum of a large matrix."""
    fine = 64 if size <= 32 else 32 if size <= 128 else 16
    return 1 if taps == 1 else max(fine, 8 * (taps - 1))


def _batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> float:
    if layer.running_var is None:
        raise _NoBound(f"{type(layer).__name__} without running statistics")
    slopes = (layer.running_var.cpu().double() + layer.eps).rsqrt()
    slopes = slopes if layer.weight is None else slopes * layer.weight.detach().cpu().double().abs()
    if not torch.isfinite(slopes).all():
        raise ValueError("weights hold values that are not finite.")
    return float(slopes.max())


def _max_pool(layer: nn.MaxPool2d) -> float:
    """A change of one pixel is seen by every window that holds it."""
    return math.sqrt(_windows(layer))


def _average_pool(layer: nn.AvgPool2d) -> float:
    """sqrt(||A||_1 ||A||_inf): the sum of a pixel's weights over windows, times that within a window."""
    size = math.prod(_pair(layer.kernel_size))
    if layer.divisor_override:
        weight, total = 1 / layer.divisor_override, size / layer.divisor_override
    elif layer.ceil_mode or (any(_pair(layer.padding)) and not layer.count_include_pad):
        weight, total = 1.0, 1.0  # windows at the border may average a single pixel
    else:
        weight, total = 1 / size, 1.0
    return math.sqrt(_windows(layer) * abs(weight * total))


def _windows(layer: nn.MaxPool2d | nn.AvgPool2d) -> int:
    """Windows of a pooling that can share a pixel."""
    sizes, strides = _pair(layer.kernel_size), _pair(layer.stride)
    if getattr(layer, "dilation", 1) not in (1, (1, 1)):
        return math.prod(sizes)
    return math.prod(-(-size // stride) for size, stride in zip(sizes, strides, strict=True))


def _adaptive_pool(layer: nn.AdaptiveAvgPool2d, sample: Tensor | None) -> float:
    """Exact for the shape of ``sample``: the product of both axes. Without one, 1 for a single output."""
    sides = _pair(layer.output_size)
    if sample is None:
        if sides != (1, 1):
            raise _NoBound(f"AdaptiveAvgPool2d to {sides} without the shape of the input")
        return 1.0
    norms = []
    for side, length in zip(sides, sample.shape[-2:], strict=True):
        rows = torch.eye(length, dtype=torch.float64)[None]
        norms.append(_spectral_norm(nn.functional.adaptive_avg_pool1d(rows, side or length)))
    return math.prod(norms)


def _pair(value: object) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)  # type: ignore[return-value]


_OF_TRAINING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)

_NORMS: dict[type, Callable[..., float]] = {
    nn.Linear: lambda layer, _: _linear(layer),
    nn.Conv2d: lambda layer, _: _convolution(layer),
    nn.BatchNorm1d: lambda layer, _: _batch_norm(layer),
    nn.BatchNorm2d: lambda layer, _: _batch_norm(layer),
    nn.MaxPool2d: lambda layer, _: _max_pool(layer),
    nn.AvgPool2d: lambda layer, _: _average_pool(layer),
    nn.AdaptiveAvgPool2d: _adaptive_pool,
    nn.LeakyReLU: lambda layer, _: max(1.0, abs(layer.negative_slope)),
    nn.ELU: lambda layer, _: max(1.0, abs(layer.alpha)),
    nn.GELU: lambda *_: 1.13,  # the slope peaks at 1.1290 near 1.41
    nn.SiLU: lambda *_: 1.1,  # 1.0998 near 2.40
    nn.Sigmoid: lambda *_: 0.25,
    **dict.fromkeys(
        (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d),
        lambda *_: 1.0,
    ),
}
