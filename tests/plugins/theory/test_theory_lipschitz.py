"""Lipschitz constants: secants against loops, bounds of layers against dense operators."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sslaudit_theory.certificates.lipschitz import certified_lipschitz, empirical_lipschitz, jacobian_norm


def dense_norm(module: nn.Module, shape: tuple[int, ...]) -> float:
    """The largest singular value of a linear module, from its matrix on inputs of ``shape``."""
    with torch.no_grad():
        basis = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
        columns = module(basis) - module(torch.zeros_like(basis))
    return float(torch.linalg.matrix_norm(columns.flatten(1), 2))


def linear(matrix: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(matrix[0]), len(matrix), dtype=torch.float64)
    layer.weight.data = torch.tensor(matrix, dtype=torch.float64)
    return layer


def of(module: nn.Module, **options: tuple[int, int, int]) -> float:
    value, said = certified_lipschitz(module.eval(), 1.0, **options)
    assert value is not None, said
    return value


def naive_secant(features: np.ndarray, pixels: np.ndarray) -> float:
    f, x = (a.reshape(-1, a.shape[2]).astype(np.float64) for a in (features, pixels))
    found = 0.0
    for i, j in itertools.combinations(range(len(f)), 2):
        if run := np.linalg.norm(x[i] - x[j]):
            found = max(found, float(np.linalg.norm(f[i] - f[j]) / run))
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(2, 6), st.integers(1, 3)),
    kind=st.sampled_from(["uint8", "float64"]),
    block_bytes=st.sampled_from([1, 1000, 2**23]),
)
@settings(deadline=None)
def test_the_steepest_secant(seed: int, shape: tuple[int, int], kind: str, block_bytes: int) -> None:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (*shape, 10)).astype(kind)
    scale = 255 if kind == "uint8" else 1
    features = np.tanh(pixels / 255 @ generator.normal(size=(10, 3)))
    found = empirical_lipschitz(features, pixels, block_bytes=block_bytes)
    assert found.value == pytest.approx(naive_secant(features, pixels / scale), rel=1e-9)
    (i, v), (j, w) = found.pair
    rise = np.linalg.norm(features[i, v] - features[j, w])
    run = np.linalg.norm((pixels[i, v].astype(float) - pixels[j, w]) / scale)
    assert rise / run == pytest.approx(found.value, rel=1e-9)


def test_equal_pixels_say_nothing_and_may_not_disagree() -> None:
    pixels = np.array([[[0, 0], [0, 0]], [[255, 0], [0, 0]]], np.uint8)
    features = np.array([[[1.0], [1.0]], [[3.0], [1.0 + 1e-7]]])
    assert empirical_lipschitz(features, pixels).value == pytest.approx(2.0)
    features[1, 1] = 1.1
    with pytest.raises(ValueError, match="no function of the pixels"):
        empirical_lipschitz(features, pixels)
    with pytest.raises(ValueError, match="same pixels, so there is no secant"):
        empirical_lipschitz(features[:1], pixels[:1])
    with pytest.raises(ValueError, match="do not match"):
        empirical_lipschitz(features, pixels[:1])
    with pytest.raises(ValueError, match="not finite"):
        empirical_lipschitz(features * np.nan, pixels)


def test_only_the_product_with_distances_matters() -> None:
    generator = np.random.default_rng(0)
    pixels, features = generator.random((5, 2, 8)), generator.normal(size=(5, 2, 3))
    unit, bytewise = (empirical_lipschitz(features, pixels * scale).value for scale in (1, 255))
    assert unit == pytest.approx(bytewise * 255, rel=1e-12)


def test_the_jacobian_at_a_point() -> None:
    generator = np.random.default_rng(0)
    matrix = torch.from_numpy(generator.normal(size=(6, 9)))
    point = torch.from_numpy(generator.normal(size=9))
    found = jacobian_norm(lambda x: torch.tanh(matrix @ x), point, generator, steps=200)
    slopes = 1 - torch.tanh(matrix @ point) ** 2
    expected = float(torch.linalg.matrix_norm(slopes[:, None] * matrix, 2))
    assert found == pytest.approx(expected, rel=1e-6)
    assert found <= expected * (1 + 1e-12)
    assert jacobian_norm(lambda x: 0 * x, point, generator) == 0
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()).eval()
    image = torch.rand(1, 3, 8, 8)
    steep = jacobian_norm(network, image, np.random.default_rng(1))
    assert steep == jacobian_norm(network, image, np.random.default_rng(1))
    assert 0 < steep <= of(network)


def test_the_jacobian_of_fused_attention() -> None:
    def attend(x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, 2 * x, x)

    point = torch.rand(1, 1, 4, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(attend, point).reshape(12, 12)
    expected = float(torch.linalg.matrix_norm(jacobian, 2))
    assert jacobian_norm(attend, point, np.random.default_rng(0), steps=200) == pytest.approx(
        expected, rel=1e-6
    )


def test_a_product_of_two_layers_over_estimates() -> None:
    layers = nn.Sequential(linear([[3.0, 0.0], [0.0, 0.5]]), linear([[1.0, 1.0], [0.0, 2.0]]))
    value, said = certified_lipschitz(layers, 1.0)
    assert value == pytest.approx(6.864736833812213, abs=1e-9)
    assert dense_norm(layers, (2,)) == pytest.approx(3.046340843479052, abs=1e-9)
    assert "upper bound" in said


@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    groups=st.integers(1, 2),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    side=st.tuples(st.integers(10, 13), st.integers(10, 13)),
)
@settings(deadline=None, max_examples=60)
def test_a_convolution_is_never_under_estimated(
    seed: int,
    channels: tuple[int, int],
    groups: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
    side: tuple[int, int],
) -> None:
    torch.manual_seed(seed)
    layer = nn.Conv2d(
        channels[0] * groups,
        channels[1] * groups,
        kernel,
        stride,
        padding,
        dilation,
        groups,
        dtype=torch.float64,
    )
    truth = dense_norm(layer, (layer.in_channels, *side))
    assert truth <= of(layer) <= 6 * truth


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_is_close_to_a_large_operator(stride: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 3, 3, stride, 1, dtype=torch.float64)
    truth = dense_norm(layer, (2, 24, 24))
    assert truth <= of(layer) <= 1.02 * truth
    flattened = float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2))
    assert stride > 1 or flattened < truth  # the norm of the reshaped kernel is not a bound


def test_kernels_of_one_tap_and_in_channels_last() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(5, 4, 1)
    expected = float(torch.linalg.matrix_norm(layer.weight.detach()[:, :, 0, 0].double(), 2))
    assert of(layer) == pytest.approx(expected, rel=1e-12)
    wide = nn.Conv2d(3, 8, 3, 2)
    assert of(wide) == of(wide.to(memory_format=torch.channels_last))


@pytest.mark.parametrize(
    "layer",
    [
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, 1),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d((2, 3), (1, 2), count_include_pad=False, padding=(1, 1)),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(2, 1, divisor_override=3),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveAvgPool2d((3, 4)),
        nn.AdaptiveAvgPool2d((9, None)),
    ],
    ids=str,
)
def test_pooling_of_averages_is_never_under_estimated(layer: nn.Module) -> None:
    truth = dense_norm(layer, (2, 8, 7))
    assert truth <= of(layer, input_shape=(2, 8, 7)) * (1 + 1e-12)
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        assert of(layer, input_shape=(2, 8, 7)) == pytest.approx(truth, rel=1e-9)
    if layer.__dict__.get("kernel_size") == 2 and not layer.divisor_override:
        assert of(layer) == pytest.approx(truth)


def test_overlapping_windows_of_a_maximum_count() -> None:
    assert of(nn.MaxPool2d(2)) == 1
    assert of(nn.MaxPool2d(3, 2)) == 2
    assert of(nn.MaxPool2d(3, 1)) == 3
    peak = torch.zeros(1, 1, 7, 7)
    peak[0, 0, 3, 3] = 1
    assert float(nn.MaxPool2d(3, 1)(peak).norm()) == 3  # attained


@pytest.mark.parametrize(
    "layer",
    [
        nn.ReLU(),
        nn.ReLU6(),
        nn.LeakyReLU(-1.5),
        nn.ELU(2.0),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Identity(),
        nn.SiLU(),
        nn.GELU(),
        nn.GELU(approximate="tanh"),
        nn.Dropout(0.5),
    ],
    ids=str,
)
def test_activations_are_no_steeper_than_said(layer: nn.Module) -> None:
    x = torch.linspace(-8, 8, 400_001, dtype=torch.float64)
    y = layer.eval()(x)
    steepest = float((y.diff() / x.diff()).abs().max())
    assert 0.995 * of(layer) <= steepest <= of(layer) * (1 + 1e-9)


def test_batch_norm_and_the_deviation_of_pixels() -> None:
    norm = nn.BatchNorm2d(3).eval()
    norm.running_var.copy_(torch.tensor([4.0, 1.0, 0.25]))
    norm.weight.data = torch.tensor([1.0, -3.0, 1.0])
    value, _ = certified_lipschitz(norm, [0.5, 0.25, 1.0])
    assert value == pytest.approx(4 * 3 / math.sqrt(1 + norm.eps), rel=1e-6)
    assert certified_lipschitz(norm.train(), 1.0) == (
        None,
        "no finite certified L: BatchNorm2d is in training mode",
    )


def test_a_small_network_is_above_every_secant() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 4),
    ).eval()  # fmt: skip
    pixels = torch.rand(20, 2, 3, 8, 8)
    with torch.no_grad():
        features = network((pixels.flatten(0, 1) - 0.5) / 0.25).view(20, 2, -1)
    steepest = empirical_lipschitz(features.numpy(), pixels.flatten(2).numpy()).value
    with_shape, _ = certified_lipschitz(network, [0.25] * 3, input_shape=(3, 8, 8))
    without, _ = certified_lipschitz(network, [0.25] * 3)
    assert with_shape is not None
    assert without is not None
    assert steepest <= with_shape < without
    assert without == pytest.approx(2 * with_shape)  # pooling of 2 x 2 pixels halves


def test_residual_blocks() -> None:
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None)
    network.layer2, network.layer3, network.layer4 = (nn.Identity() for _ in range(3))
    network.fc = nn.Identity()
    network.eval()
    value = of(network, input_shape=(3, 16, 16))
    image = torch.rand(1, 3, 16, 16)
    assert jacobian_norm(network, image, np.random.default_rng(0)) <= value < math.inf
    block = network.layer1[0]
    branch = of(nn.Sequential(block.conv1, block.bn1, block.conv2, block.bn2))
    assert of(block) == pytest.approx(1 + branch)
    network.layer1[0].relu = nn.GELU()
    assert certified_lipschitz(network, 1.0)[0] is None


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return 2 * super().forward(input)


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: nn.LayerNorm(4), "LayerNorm"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.MultiheadAttention(4, 2)), "MultiheadAttention"),
        (lambda: Doubled(4, 4), "Doubled"),
        (lambda: nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding_mode 'reflect'"),
        (lambda: nn.BatchNorm2d(3, track_running_stats=False), "BatchNorm2d without running statistics"),
        (lambda: nn.AdaptiveAvgPool2d(2), "without the shape of the input"),
    ],
)
def test_what_has_no_bound_says_so(build: Callable[[], nn.Module], word: str) -> None:
    value, said = certified_lipschitz(build().eval(), 1.0)
    assert value is None
    assert said.startswith("no finite certified L: ")
    assert word in said


def test_hooks_parametrizations_and_bad_numbers() -> None:
    layer = linear([[3.0, 0.0], [0.0, 0.5]])
    normed = nn.utils.parametrizations.spectral_norm(linear([[3.0, 0.0], [0.0, 0.5]]), n_power_iterations=50)
    assert of(normed) == pytest.approx(1, rel=1e-6)
    layer.register_forward_hook(lambda module, inputs, output: 2 * output)
    assert "hooks" in certified_lipschitz(layer, 1.0)[1]
    for wrong in (0.0, -1.0, math.nan, [0.2, 0.0, 0.2]):
        with pytest.raises(ValueError, match="standard deviations"):
            certified_lipschitz(nn.ReLU(), wrong)
    with pytest.raises(ValueError, match="not finite"):
        certified_lipschitz(linear([[math.nan, 1.0]]), 1.0)
    huge = nn.Sequential(*(linear([[1e200]]) for _ in range(2)))
    assert "overflows" in certified_lipschitz(huge, 1.0)[1]
