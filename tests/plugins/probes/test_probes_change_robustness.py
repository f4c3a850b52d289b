"""The metric robustness: corrupted and attacked test images of the digits."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sslaudit
from sslaudit.data import Dataset, subset
from sslaudit.encoder import Encoder, Preprocess, from_module
from sslaudit.errors import UsageError
from sslaudit.extraction import AlteredImages, Embedder, Extraction
from sslaudit.figures import Bars
from sslaudit.recipes import parse_recipe
from sslaudit.results import Estimate
from sslaudit_probes.change import robustness
from sslaudit_probes.change.corruptions import corruption
from sslaudit_probes.change.held_out import HeldOut
from sslaudit_probes.change.options import CORRUPTIONS
from tests.plugins.conftest import Measure

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.25,) * 3, source="given")


class Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


class Network(nn.Module):
    """Untrained; batch norm would show whether it is in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()
        )

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.layers(images)
        return found


@dataclass(frozen=True)
class Known:
    """A probe whose weights are given."""

    weights: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        found: np.ndarray = features @ self.weights.T + self.bias
        return found


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(sslaudit.load_dataset("digits"), max_images=400)


@dataclass(frozen=True)
class Bench:
    """The metric on pixels of digits, read by the distance to the mean of each class."""

    measure: Measure
    data: Dataset
    altered: AlteredImages
    encoder: Encoder
    features: np.ndarray
    probe: Known

    def run(self, options: str, encoder: Encoder | None = None) -> dict[str, Estimate]:
        found: dict[str, Estimate] = self.measure(
            f"robustness({options})",
            self.features[:, None],
            self.data.labels,
            self.data.train,
            self.data.test,
            encoder=encoder or self.encoder,
            altered=self.altered,
        )
        return found

    def right(self, features: np.ndarray, images: np.ndarray) -> np.ndarray:
        assert self.data.labels is not None
        right: np.ndarray = self.probe.logits(features).argmax(axis=1) == self.data.labels[images]
        return right


@pytest.fixture
def bench(digits: Dataset, tmp_path: Path, measure_term: Measure, monkeypatch: pytest.MonkeyPatch) -> Bench:
    encoder = from_module(Pixels(), preprocess=SMALL)
    how = Extraction(recipe=parse_recipe("crop", {}), views=1, seed=0, batch_size=64)
    altered = AlteredImages(Embedder(encoder, how), digits, cache=tmp_path)
    features = altered.embedded(None, range(len(digits)))
    assert digits.labels is not None
    x, y = features[digits.train].astype(np.float64), digits.labels[digits.train]
    means = np.stack([x[y == k].mean(axis=0) for k in range(10)])
    probe = Known(weights=means, bias=-0.5 * np.square(means).sum(axis=1))
    monkeypatch.setattr(robustness, "fitted", lambda inputs: probe)
    return Bench(measure_term, digits, altered, encoder, features, probe)


def test_corrupted_accuracy_is_that_of_the_probe_on_altered_images(bench: Bench) -> None:
    found = bench.run("severity=2,attacked=1")
    test = np.asarray(bench.data.test)
    plain = bench.right(bench.features[test], test)
    shares = {}
    for name in ("noise", "brightness", "contrast", "pixelate", "jpeg"):
        right = bench.right(bench.altered.embedded(corruption(name, 2, 0), test), test)
        shares[name] = right.mean()
        row = found[name]
        assert row.value == pytest.approx(right.mean(), abs=1e-12)
        assert row.details["change"] == pytest.approx(right.mean() - plain.mean(), abs=1e-12)
        assert row.details["change_low"] <= row.details["change"] <= row.details["change_high"]
        assert row.minor
        assert len(row.label) <= 26
    assert "changes nothing here" in found["blur"].reason  # of 8 pixels
    main, change = found[""], found["change"]
    assert main.value == pytest.approx(np.mean(list(shares.values())), abs=1e-12)
    assert main.details["plain"] == pytest.approx(plain.mean(), abs=1e-12)
    assert change.value == pytest.approx(main.value - plain.mean(), abs=1e-12)
    assert change.interval.low < change.value < change.interval.high < 0
    assert main.details["reading"] == f"worst: {min(shares, key=shares.__getitem__)}"
    (bars,) = main.figures
    assert isinstance(bars, Bars)
    assert bars.labels == ("plain", *shares)


def test_fewer_images_are_drawn_and_their_number_is_said(bench: Bench) -> None:
    found = bench.run("corruptions=noise,images=50,attacked=20")
    assert list(found) == ["", "change", "noise", "attack"]
    assert (found[""].details["tested"], found["attack"].details["tested"]) == (50, 20)
    assert "on 50 test images; mean over noise at severity 3 of 5" in found[""].note
    assert found["noise"].value == found[""].value


def test_the_attack_bounds_from_above_and_with_eps_0_it_is_the_plain_accuracy(bench: Bench) -> None:
    def attack(options: str) -> Estimate:
        return bench.run(f"corruptions=noise,{options}")["attack"]

    test = np.asarray(bench.data.test)
    none = attack("eps=0")
    assert none.value == bench.right(bench.features[test], test).mean()
    assert none.value == none.details["plain"]
    some, more = attack("eps=0.03"), attack("eps=0.15")
    assert none.value > some.value > more.value
    for found in (none, some, more):
        assert (found.claim, found.bias, found.minor) == ("upper-bound", "over", False)
        assert "an empirical upper bound on robust accuracy" in found.note
    usual = attack("attacked=30")
    assert usual.details["reading"] == "eps 4/255"
    assert usual.details["step"] == pytest.approx(2.5 * 0.0157 / 10)


def test_the_attack_finds_the_worst_image_of_a_linear_encoder(bench: Bench) -> None:
    """Of pixels that are well inside of [0, 1] and two classes the worst image is the sign step."""
    eps, test = 0.1, np.asarray(bench.data.test)
    found = bench.run(f"corruptions=noise,eps={eps}")["attack"]
    x = torch.from_numpy(bench.features[test]).double() * 0.25 + 0.5  # back to pixels
    weights = torch.from_numpy(bench.probe.weights)
    assert bench.data.labels is not None
    labels = torch.from_numpy(bench.data.labels[test])
    fooled = torch.zeros(len(test), dtype=torch.bool)
    for k in range(10):  # towards one class at a time: what some attack can do
        towards = (x + eps * (weights[k] - weights[labels]).sign()).clamp(0, 1)
        logits = (towards - 0.5) / 0.25 @ weights.T + torch.from_numpy(bench.probe.bias)
        fooled |= logits.argmax(dim=1) != labels
    assert found.value == pytest.approx(1 - fooled.double().mean().item(), abs=0.03)
    assert found.value >= 1 - fooled.double().mean().item() - 1e-9


def test_an_encoder_without_gradients_loses_that_row_alone(bench: Bench) -> None:
    options = "corruptions=noise,images=40"
    told = bench.run(options, replace(bench.encoder, differentiable=False))
    assert told["attack"].reason == "no gradient flows through this encoder"

    def detached(images: Tensor) -> Tensor:
        with torch.no_grad():
            return images.flatten(1)

    found = bench.run(options, replace(bench.encoder, embed=detached))
    assert found["attack"].reason == "no gradient flows from the logits to the pixels"
    assert found["attack"].verdict == "not-applicable"
    assert found[""].value == told[""].value


def test_what_no_corruption_changes(bench: Bench) -> None:
    found = bench.run("corruptions=blur,images=40,attacked=5")
    assert found[""].reason == "no corruption changes these images"
    assert found["attack"].value is not None


def test_balanced_accuracy_is_the_mean_recall() -> None:
    truth = np.array([0] * 30 + [1] * 6 + [3] * 4)
    tested = HeldOut(np.arange(40), truth, balanced=True)
    correct = np.arange(40) % 3 > 0
    recalls = [correct[truth == k].mean() for k in (0, 1, 3)]
    value, interval = tested.accuracy(correct)
    assert value == pytest.approx(np.mean(recalls))
    assert interval.low < value < interval.high
    mean, resampled = tested.mean(correct.astype(float), np.random.default_rng(0))
    assert mean == pytest.approx(value)
    assert resampled is not None
    assert resampled.low < value < resampled.high <= 1
    assert "within classes" in resampled.method
    assert tested.mean(np.ones(40), np.random.default_rng(0))[0] == pytest.approx(1)
    few = tested.first(1)
    assert few.mean(np.ones(1), np.random.default_rng(0)) == (1, None)
    plain = replace(tested, balanced=False)
    assert plain.accuracy(correct)[0] == correct.mean()
    assert plain.mean(correct, np.random.default_rng(0))[0] == correct.mean()


def test_a_real_audit_twice(digits: Dataset, tmp_path: Path) -> None:
    def run(eps: float, cache: Path) -> dict[str, object]:
        network = Network()
        card = sslaudit.evaluate(
            network,
            digits,
            preprocess=SMALL,
            metrics=f"robustness(eps={eps},attacked=60)",
            device="cpu",
            precision="fp32",  # auto takes what is faster now
            cache=cache,
            anchors=False,
        )
        assert all(parameter.grad is None for parameter in network.parameters())
        assert card.metrics[0].reason == "", card.metrics[0].reason
        return {record.name: record for record in card.metrics}

    found, again = (run(0.06, tmp_path / name) for name in "ab")
    still = run(0.0, tmp_path / "a")
    assert set(found) == {
        "robustness",
        *(f"robustness.{name}" for name in ("change", "attack", *CORRUPTIONS)),
    }
    assert [(r.value, r.interval, r.details) for r in found.values()] == [
        (r.value, r.interval, r.details) for r in again.values()
    ]
    attack, unmoved = found["robustness.attack"], still["robustness.attack"]
    assert unmoved.value == unmoved.details["plain"] == attack.details["plain"]
    assert attack.value < unmoved.value
    assert found["robustness"].value > 0.15  # and reads digits from what is left


def test_wrong_options_are_refused(digits: Dataset) -> None:
    for options, message in (("corruptions=fog", "no 'fog'"), ("severity=6", "above"), ("eps=-0.1", "below")):
        with pytest.raises(UsageError, match=message):
            sslaudit.evaluate(Pixels(), digits, preprocess=SMALL, metrics=f"robustness({options})")
