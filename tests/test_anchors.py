"""Anchors: what pixels and an untrained copy reach, measured like the encoder, paired by image."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sslaudit
from sslaudit import EncoderError, Preprocess, ReportCard
from sslaudit.anchors import raw_pixels, untrained_copy
from sslaudit.data import Dataset, subset
from sslaudit.encoder import from_module, unit_rows
from sslaudit.loading import load_dataset
from sslaudit.numbers import number
from sslaudit.report import words
from sslaudit.report.anchored import PIXELS, UNTRAINED, AnchorReading, AnchorRecord, against, check_control
from sslaudit.report.card import from_json, to_json
from sslaudit.report.html import fragment
from sslaudit.report.samples import paired_difference
from sslaudit.results import Interval
from sslaudit.stats import mean_of_proportions, wilson
from sslaudit_probes import first_best, knn_log_votes

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")

Run = Callable[..., object]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.conv(images)).relu().flatten(1)


class OwnWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images.flatten(1)


class NoCopies(Net):
    def __deepcopy__(self, memo: object) -> nn.Module:
        raise RuntimeError("busy")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(load_dataset("digits"), max_images=300)


def card_of(module: nn.Module, digits: Dataset, metrics: str = "knn", **settings: object) -> ReportCard:
    return sslaudit.evaluate(module, digits, metrics=metrics, preprocess=SMALL, device="cpu", **settings)


def test_the_pixel_anchor_is_knn_on_pixels(digits: Dataset) -> None:
    card = card_of(Net(), digits, "knn(k=5)")
    pixels = next(anchor for anchor in card.anchors if anchor.name == PIXELS)
    images = np.stack([digits.read(i) for i in range(len(digits))]).transpose(0, 3, 1, 2)
    rows = unit_rows(images.reshape(len(images), -1) / 127.5 - 1)
    votes = knn_log_votes(rows[digits.test], rows[digits.train], digits.labels[digits.train], 5, 0.07, 10)
    right = first_best(votes) == digits.labels[digits.test]
    assert pixels.readings[0].value == pytest.approx(right.mean())
    assert pixels.dim == 192
    ours = np.array([card.samples["knn(k=5)/correct"][i] for i in digits.test])
    assert pixels.readings[0].difference == pytest.approx((ours - right.astype(int)).mean())


def test_the_untrained_copy_of_a_module_has_fresh_weights_and_leaves_the_module_alone() -> None:
    torch.manual_seed(5)
    module = Net()
    with torch.no_grad():
        module.conv.weight.mul_(100)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.get_rng_state()
    encoder = from_module(module, preprocess=SMALL)
    first, again = untrained_copy(encoder, "cpu"), untrained_copy(encoder, "cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert first.module.conv.weight.abs().max() < 1
    assert first.digest == again.digest != encoder.digest
    assert first.preprocess == encoder.preprocess


def test_a_module_whose_weights_cannot_be_renewed_has_no_untrained_copy(digits: Dataset) -> None:
    with pytest.raises(EncoderError, match=r"OwnWeights '' has weights and no reset_parameters\(\)"):
        untrained_copy(from_module(OwnWeights(), preprocess=SMALL), "cpu")
    with pytest.raises(EncoderError, match="Flatten has no weights to renew"):
        untrained_copy(from_module(nn.Flatten(), preprocess=SMALL), "cpu")
    with pytest.raises(EncoderError, match="NoCopies cannot be copied and renewed: RuntimeError: busy"):
        untrained_copy(from_module(NoCopies(), preprocess=SMALL), "cpu")
    assert dict(words.anchors(card_of(NoCopies(), digits)))[UNTRAINED].startswith("not measured: NoCopies")
    card = card_of(OwnWeights(), digits)
    anchors = {anchor.name: anchor for anchor in card.anchors}
    assert not anchors[UNTRAINED].readings
    assert anchors[PIXELS].readings[0].difference == 0  # it is the pixels
    assert dict(words.anchors(card))[UNTRAINED].startswith("not measured: OwnWeights")


def test_equal_answers_on_few_images_are_no_certainty(digits: Dataset) -> None:
    """One difference for all images has a bootstrap of width zero."""
    uneven = subset(digits, per_class=12)
    column = [None if i in set(uneven.train.tolist()) else 1.0 for i in range(len(uneven))]
    tested = np.bincount(uneven.labels[uneven.test])
    plain = paired_difference({"m/correct": column}, {"m/correct": column}, "m/correct")
    assert plain == (
        0,
        dataclasses.replace(plain[1], low=-wilson(0, tested.sum()).high, high=wilson(0, tested.sum()).high),
    )
    found = paired_difference({"m/score": column}, {"m/score": column}, "m/score", uneven.labels)
    limit = mean_of_proportions(0 * tested, tested).high
    assert found[1].high == -found[1].low == pytest.approx(limit)
    assert limit > plain[1].high  # a small class can hide more
    assert paired_difference({"m/loss": column}, {"m/loss": column}, "m/loss")[1].high == 0


def test_an_encoder_that_is_its_control_is_said_to_be_no_better(digits: Dataset) -> None:
    torch.manual_seed(0)
    card = card_of(Net(), digits)
    control = next(check for check in card.checks if check.name == "control")
    assert control.status == "warn"
    headline = dict(words.headline(card))
    assert "ACCURACY" not in headline
    assert "untrained copy" in headline["NOT ABOVE CONTROL"]
    assert "raw pixels" in headline["NOT ABOVE CONTROL"]
    found = card.anchors[0].readings[0]
    assert f"<b>{number(found.value)}</b>, {against(found)}." in fragment(card)
    assert "not above" not in headline["NOT ABOVE CONTROL"]  # each difference stands behind its anchor
    assert not card.failed_checks  # the number stands
    assert from_json(to_json(card), "it").anchors == card.anchors


def test_the_check_goes_by_the_paired_interval() -> None:
    def anchor(name: str, low: float | None) -> AnchorRecord:
        interval = None if low is None else Interval(low=low, high=0.3, method="a test")
        reading = AnchorReading(
            term="knn", value=0.5, interval=None, difference=0.2, difference_interval=interval
        )
        return AnchorRecord(name=name, what="", digest="", dim=1, readings=(reading,))

    above, touching, unknown = anchor("a", 0.01), anchor("b", 0.0), anchor("c", None)
    assert check_control("knn", [above]).status == "pass"
    assert check_control("knn", [above, touching]).message == "not above b: +20.0 points [+0.0, +30.0]"
    assert check_control("knn", [unknown]).message == "not above c: too few images to tell"
    assert check_control("linear-probe", [above]) is None
    assert check_control("knn", []) is None


def test_anchors_are_measured_once_and_kept(digits: Dataset, own_cache: Path) -> None:
    first = card_of(Net(), digits, "knn,few-shot(draws=2)", cache=own_cache)
    kept = {path: path.stat().st_mtime_ns for path in (own_cache / "estimates").iterdir()}
    assert len(kept) == 4  # two anchors by two metrics
    again = card_of(Net(), digits, "knn,few-shot(draws=2)", cache=own_cache)
    pixels = [next(a for a in card.anchors if a.name == PIXELS) for card in (first, again)]
    assert [r.value for r in pixels[0].readings] == [r.value for r in pixels[1].readings]
    assert all(path.stat().st_mtime_ns == kept[path] for path in kept)


@pytest.mark.parametrize(
    ("metrics", "changed", "anchors"),
    [
        ("knn", {"anchors": False}, 0),
        ("alignment", {}, 0),
        ("nearest-centre", {}, 0),  # it reads all views, the anchors one
        ("knn,alignment", {}, 2),
    ],
)
def test_which_cards_have_anchors(
    digits: Dataset, metrics: str, changed: dict[str, bool], anchors: int
) -> None:
    card = card_of(Net(), digits, metrics, views=2, recipe="flip", **changed)
    assert len(card.anchors) == anchors
    assert any(check.name == "control" for check in card.checks) == bool(anchors)


def test_every_number_of_a_probe_is_read_on_the_anchors(digits: Dataset) -> None:
    card = card_of(Net(), digits, "knn,few-shot(probes=1)")
    pixels = next(anchor for anchor in card.anchors if anchor.name == PIXELS)
    valued = {record.row for record in card.metrics if record.value is not None}
    assert {reading.term for reading in pixels.readings} == valued
    share = pixels.reading("few-shot(probes=1).probe-10")
    assert share.difference_interval.low <= share.difference <= share.difference_interval.high
    assert pixels.reading("knn.k10").difference is None  # its images stand in no column


def test_no_anchor_without_labels(digits: Dataset) -> None:
    plain = dataclasses.replace(digits, labels=None, classes=())
    assert card_of(Net(), plain, "knn,alignment").anchors == ()


def test_pixels_of_large_images_are_averaged() -> None:
    large = dataclasses.replace(SMALL, size=(96, 64))
    encoder = raw_pixels(large, "cpu")
    images = torch.rand(2, 3, 96, 64)
    expected = images.unflatten(3, (32, 2)).mean(4).unflatten(2, (32, 3)).mean(3)
    torch.testing.assert_close(encoder.embed(images), expected.flatten(1))
    assert encoder.dim == 3072


def test_a_reference_and_its_untrained_copy_on_the_command_line(run_here: Run, tmp_path: Path) -> None:
    torch.manual_seed(1)
    said = run_here("evaluate", "stub:a", "untrained:stub:a", "--data", "digits", "--max-images", "200",
                    "--metrics", "knn", "--no-html")  # fmt: skip
    assert said.returncode == 0
    first, control = said.stdout.split("untrained:stub:a")[0], said.stdout.split("untrained:stub:a")[1]
    assert "untrained copy  raw pixels" in first
    assert "untrained copy  raw pixels" not in control
    assert "raw pixels" in control
    without = run_here("evaluate", "stub:a", "--data", "digits", "--max-images", "200",
                       "--metrics", "knn", "--no-html", "--no-anchors")  # fmt: skip
    assert "raw pixels" not in without.stdout
