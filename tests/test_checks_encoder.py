"""Guards on the encoder: two passes, one image alone, buffers. Real modules, each wrong in one way."""

import warnings

import pytest
import torch
from torch import Tensor, nn

from sslaudit import Preprocess
from sslaudit.checks import check_behaviour
from sslaudit.encoder import from_module
from sslaudit.extraction import Extraction
from sslaudit.extraction.how import Precision
from sslaudit.recipes import parse_recipe
from sslaudit.train.backbones import build_backbone

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")


@pytest.fixture
def images() -> Tensor:
    return torch.randint(256, (16, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def failed(module: nn.Module, images: Tensor, precision: Precision = "fp32") -> dict[str, str]:
    """The message of each check that fails."""
    how = Extraction(recipe=parse_recipe("flip", {}), views=1, seed=0, batch_size=16, precision=precision)
    encoder = from_module(module, preprocess=SMALL)
    return {c.name: c.message for c in check_behaviour(encoder, images, how) if c.status == "fail"}


class Stubborn(nn.Module):
    """Layers that stay in train mode, behind a convolution, with a mean in front of the features."""

    def __init__(self, *layers: nn.Module, mean: float = 0.0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(3, 16, 3), *layers)
        self.mean = mean

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels).flatten(1) + self.mean


def batch_norm() -> nn.Module:
    return nn.BatchNorm2d(16, track_running_stats=False)


@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_dropout_left_on_is_caught_behind_any_mean(images: Tensor, mean: float) -> None:
    assert "deterministic" in failed(Stubborn(nn.Dropout(0.01), mean=mean), images)


@pytest.mark.parametrize("mean", [0.0, 1e3])
def test_statistics_of_the_batch_are_caught_behind_any_mean(images: Tensor, mean: float) -> None:
    said = failed(Stubborn(batch_norm(), mean=mean), images)
    assert list(said) == ["batch-invariant"]
    assert "% of the spread of images" in said["batch-invariant"]


def test_statistics_of_the_batch_are_caught_where_a_batch_does_not_vary(images: Tensor) -> None:
    for alike in (images[:1].expand(16, -1, -1, -1).contiguous(), images[:1]):
        assert list(failed(Stubborn(batch_norm()), alike)) == ["batch-invariant"]


def test_running_statistics_are_named(images: Tensor) -> None:
    said = failed(Stubborn(nn.BatchNorm2d(16)), images)
    assert list(said) == ["batch-invariant", "buffers"]
    assert said["buffers"].endswith("layers.1.running_mean and 2 more")


class Filling(nn.Module):
    """Keeps what it computes once in a buffer: a mask, a table of positions."""

    def forward(self, pixels: Tensor) -> Tensor:
        if not hasattr(self, "table"):
            self.register_buffer("table", torch.arange(192.0))
        return pixels.flatten(1) + self.table


class Growing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, pixels: Tensor) -> Tensor:
        self.seen = torch.cat([self.seen, self.seen[:1]])
        return pixels.flatten(1)


class Odd(nn.Module):
    """Buffers with no numbers, infinity, and of other types: none of them changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("odd", torch.tensor([float("nan"), float("-inf")]))
        self.register_buffer("index", torch.arange(3))
        self.register_buffer("mask", torch.tensor([True]))

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1)


class Stateful(nn.Module):
    """Its state is no buffer."""

    calls = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.calls += 1
        return pixels.flatten(1) * (1 + 1e-3 * self.calls)


def test_buffers_that_are_filled_once_or_hold_nan_do_not_change(images: Tensor) -> None:
    assert failed(Filling(), images) == {}
    assert failed(Odd(), images) == {}
    assert list(failed(Growing(), images)) == ["buffers"]


def test_state_that_is_no_buffer_is_caught(images: Tensor) -> None:
    assert "deterministic" in failed(Stateful(), images)


class Picky(nn.Module):
    """Takes no single image, but the gray one that loading tries."""

    def forward(self, pixels: Tensor) -> Tensor:
        if len(pixels) == 1 and pixels.std() > 0.05:
            raise ValueError("Expected more than 1 value per channel when training")
        return pixels.flatten(1)


def test_a_module_that_fails_on_one_image_fails_the_check(images: Tensor) -> None:
    assert failed(Picky(), images) == {
        "batch-invariant": "it fails on other batches: "
        "ValueError: Expected more than 1 value per channel when training"
    }


class Nothing(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return torch.zeros(len(pixels), 4)


class NotFinite(nn.Module):
    """NaN in one dimension, Inf in another, for all images."""

    def forward(self, pixels: Tensor) -> Tensor:
        features = pixels.flatten(1).clone()
        features[:, 3], features[:, 5] = float("nan"), float("inf")
        return features


class SometimesNaN(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        features = pixels.flatten(1).clone()
        features[torch.rand(len(pixels)) < 0.5, 0] = float("nan")
        return features


def test_other_faults_are_left_to_other_checks(images: Tensor) -> None:
    assert failed(Nothing(), images) == {}
    assert failed(NotFinite(), images) == {}
    assert "deterministic" in failed(SometimesNaN(), images)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("name", ["conv3", "resnet18"])
def test_networks_pass_in_every_precision(images: Tensor, name: str, precision: Precision) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert failed(build_backbone(name, seed=0), images, precision) == {}
