"""Preprocessing: what is given wins and is said; what is assumed is measured against what is likely."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

import sslaudit
from sslaudit import EncoderError, Preprocess, ReportCard, UsageError, passes
from sslaudit.checks import preprocessing
from sslaudit.data import Dataset
from sslaudit.encoder import IMAGENET_MEAN, IMAGENET_STD, Override, from_module
from sslaudit.loading import load_dataset, load_encoder
from sslaudit.stats import clopper_pearson

ASSUMED = Preprocess(size=(8, 8), source="assumed")
HALF = (0.5, 0.5, 0.5)


class Bright(nn.Module):
    """Sees pixels between 0 and 1 as they are and nothing outside: it needs its own normalisation."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images.clamp(0, 1).flatten(1), torch.full((len(images), 1), 0.1)], dim=1)


class Pixels(nn.Module):
    """Sees pixels under any normalisation."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def dark_images(each: int = 30) -> Dataset:
    """Two classes of images that differ only in their dark half, where ImageNet values are below 0."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], each)
    images = rng.integers(0, 20, size=(2 * each, 8, 8, 3), dtype=np.uint8)
    images[labels == 1, :4] += 40
    return Dataset.build(
        ref="dark",
        read=lambda i: images[i],
        digests=[image.tobytes().hex() for image in images],
        class_names=[f"class{label}" for label in labels],
    )


def audit(module: nn.Module, data: Dataset, preprocess: Preprocess = ASSUMED, **more: object) -> ReportCard:
    return sslaudit.evaluate(module, data, preprocess=preprocess, metrics="knn", device="cpu", **more)


def check(card: ReportCard) -> tuple[str, str] | None:
    return next(((c.status, c.message) for c in card.checks if c.name == "preprocessing"), None)


def test_an_override_keeps_the_rest_and_says_what_was_given() -> None:
    own = Preprocess(size=(224, 224), interpolation="bicubic", crop=0.875, source="timm")
    assert Override().apply(own) is own
    given = Override(mean=HALF, std=HALF).apply(own)
    assert given == dataclasses.replace(own, mean=HALF, std=HALF, source="timm, mean and std given")
    assert Override(size=(96, 64)).apply(own).source == "timm, size given"
    assert Override(size=(96, 64), interpolation="box", crop=1.0).apply(own).source == (
        "timm, size, interpolation and crop given"
    )


def test_a_normalisation_that_is_given_is_no_longer_assumed() -> None:
    assert Override(mean=HALF, std=HALF).apply(ASSUMED).source == "mean and std given, else assumed"
    assert Override(crop=0.5).apply(ASSUMED).source == "assumed, crop given"


@pytest.mark.parametrize(
    "given",
    [{"size": (0, 8)}, {"std": (0.0, 1.0, 1.0)}, {"mean": (float("nan"), 0.0, 0.0)}, {"crop": 1.5}],
)
def test_an_override_that_means_nothing_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="preprocessing"):
        Override(**given).apply(ASSUMED)


def test_an_encoder_is_tried_at_another_size() -> None:
    grown = load_encoder(Pixels(), preprocess=ASSUMED, override=Override(size=(16, 12)))
    assert (grown.preprocess.size, grown.dim) == ((16, 12), 3 * 16 * 12)
    fixed = from_module(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), preprocess=ASSUMED, name="fixed")
    message = r"'module:fixed' cannot take images of 16 x 12: .*\. It takes 8 x 8; leave out --size\."
    with pytest.raises(EncoderError, match=message):
        load_encoder(fixed, override=Override(size=(16, 12)))
    assert load_encoder(fixed, override=Override(crop=0.5)).preprocess.crop == 0.5


def test_overridden_features_are_those_of_the_other_normalisation() -> None:
    data = load_dataset("digits")
    given = Override(mean=(0.0,) * 3, std=(1.0,) * 3)
    plain = audit(
        Pixels(), data, dataclasses.replace(ASSUMED, mean=(0.0,) * 3, std=(1.0,) * 3), max_images=60
    )
    overridden = audit(Pixels(), data, override=given, max_images=60)
    assert overridden.metric("knn").value == plain.metric("knn").value
    assert overridden.encoder.preprocess.mean == (0, 0, 0)
    assert check(overridden) is None


def test_an_encoder_that_needs_other_values_gets_a_warning_with_the_remedy() -> None:
    data = dark_images()
    status, message = check(audit(Bright(), data))
    assert status == "warn"
    assert "the assumed normalisation is likely wrong" in message
    assert "kNN accuracy on 60 images" in message
    assert message.endswith("Try --mean 0 --std 1")
    remedy = Override(mean=(0.0,) * 3, std=(1.0,) * 3)
    card = audit(Bright(), data, override=remedy)
    assert check(card) is None
    assert card.metric("knn").value > 0.9


def test_any_other_assumption_is_held_against_imagenet() -> None:
    class Negative(Bright):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images + 2.2)

    raw = Preprocess(size=(8, 8), mean=(-0.5,) * 3, std=(0.1,) * 3, source="assumed, size given")
    status, message = check(audit(Negative(), dark_images(), raw))
    assert status == "warn"
    assert message.endswith("Try --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225")


def test_an_encoder_that_does_not_mind_is_left_in_peace() -> None:
    card = audit(Pixels(), load_dataset("digits"), max_images=400)
    status, message = check(card)
    assert status == "pass"
    assert re.sub(r"0\.9\d\d", "HIGH", message) == (
        "kNN accuracy on 400 images: HIGH as assumed, HIGH with pixels in [0, 1] (mean 0, std 1), "
        "HIGH with pixels in [-1, 1] (mean and std 0.5)"
    )


def test_what_a_file_states_is_not_questioned() -> None:
    stated = dataclasses.replace(ASSUMED, source="timm")
    assert check(audit(Bright(), dark_images(), stated)) is None


def test_without_two_classes_there_is_nothing_to_compare() -> None:
    data = dark_images()
    assert check(audit(Pixels(), dataclasses.replace(data, labels=None, classes=()))) is None
    one = Dataset.build(
        ref="one", read=data.read, digests=data.digests, class_names=["only"] * len(data), ids=data.ids
    )
    assert check(audit(Pixels(), one)) is None


def test_a_large_data_set_is_sampled_and_each_alternative_is_one_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passes, "images_per_second", lambda *_: None)  # its passes depend on the clock
    seen: list[int] = []

    class Counting(Pixels):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            return super().forward(images)

    data = load_dataset("digits")
    stated, assumed = (
        (seen.clear(), audit(Counting(), data, p, cache=False), sum(seen))[2]
        for p in (dataclasses.replace(ASSUMED, source="timm"), ASSUMED)
    )
    assert assumed - stated == 2 * preprocessing.IMAGES


def leave_one_out(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same by fitting a classifier n times."""
    right = []
    for i in range(len(labels)):
        rest = np.arange(len(labels)) != i
        knn = KNeighborsClassifier(5, metric="cosine").fit(features[rest], labels[rest])
        right.append(knn.predict(features[i : i + 1])[0] == labels[i])
    return np.array(right)


def test_leave_one_out_is_that_of_a_classifier_refitted_for_each_image() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)  # two classes and five neighbours: no tie
    features = rng.normal(size=(80, 6)) + labels[:, None] * 0.7
    np.testing.assert_array_equal(preprocessing._correct(features, labels), leave_one_out(features, labels))


def test_equal_votes_are_decided_by_the_nearer_image() -> None:
    angles = np.radians([0, 10, 20, 30, 41])  # the first has one neighbour of its own class, the nearest
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert preprocessing._correct(features, np.array([0, 0, 1, 0, 1])).tolist()[0]
    assert not preprocessing._correct(features, np.array([0, 1, 0, 1, 0])).tolist()[0]


@pytest.mark.parametrize(
    ("only_a", "only_b", "clear"), [(0, 0, False), (5, 0, False), (6, 0, True), (9, 3, False), (30, 8, True)]
)
def test_the_interval_excludes_0_exactly_when_mcnemar_rejects(only_a: int, only_b: int, clear: bool) -> None:
    n = 100
    a, b = np.zeros(n, bool), np.zeros(n, bool)
    a[:only_a] = True
    b[only_a : only_a + only_b] = True
    interval = preprocessing._difference(a, b, 0.95)
    assert (interval.low > 0) == clear
    assert interval.low <= (only_a - only_b) / n <= interval.high
    if only_a + only_b:
        share = clopper_pearson(only_a, only_a + only_b)
        assert interval.high == pytest.approx((only_a + only_b) / n * (2 * share.high - 1))


def test_the_remedy_can_be_pasted(run_here: Callable[..., object]) -> None:
    flags = preprocessing._flags(IMAGENET_MEAN, IMAGENET_STD).split()
    done = run_here("inspect", "stub:assumed", *flags)
    assert done.returncode == 0
    assert "mean and std given, else assumed" in done.stdout
