"""The collapse monitor: its numbers, what it looks at, and that it leaves everything as it was."""

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sslaudit import UsageError, load_dataset
from sslaudit.checks import check_features
from sslaudit.data import Dataset, subset
from sslaudit.encoder import Preprocess
from sslaudit.store import Features, Parts
from sslaudit.train.choices import Choices
from sslaudit.train.methods import Method
from sslaudit.train.monitor import Monitor, by_centre, by_neighbours, effective_rank, spread
from sslaudit.views import identity_view

PREPROCESS = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


class Embedding(nn.Module):
    """A backbone that is a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)


def method(backbone: nn.Module | Callable[[Tensor], Tensor]) -> Method:
    return Method(backbone if isinstance(backbone, nn.Module) else Embedding(backbone), nn.Identity())


def monitor(data: Dataset, **given: object) -> Monitor:
    return Monitor(data, PREPROCESS, Choices(size=8), "cpu", **given)


def naive_spread(h: np.ndarray) -> float:
    unit = [row / math.sqrt(sum(x * x for x in row)) for row in h]
    mean = sum(unit) / len(unit)
    return math.sqrt(
        sum(sum((x - m) ** 2 for x, m in zip(row, mean, strict=True)) for row in unit) / len(unit)
    )


def naive_rank(h: np.ndarray) -> float:
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(h.T @ h), 0))
    shares = [value / values.sum() for value in values if value > 0]
    return math.exp(-sum(p * math.log(p) for p in shares))


@given(n=st.integers(2, 20), dim=st.integers(1, 8), seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3))
def test_spread_and_rank_are_their_definitions(n: int, dim: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, dim)) + rng.normal(size=dim)
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    for rows in (h, scale * h, h[::-1].copy(), h @ turn):
        assert spread(torch.from_numpy(rows)) == pytest.approx(naive_spread(h), abs=1e-9)
        assert effective_rank(torch.from_numpy(rows)) == pytest.approx(naive_rank(h), rel=1e-4)
    assert 0 <= spread(torch.from_numpy(h)) <= 1
    assert 1 - 1e-9 <= effective_rank(torch.from_numpy(h)) <= min(n, dim) + 1e-9


def test_spread_and_rank_at_their_ends() -> None:
    eye = torch.eye(5)
    assert effective_rank(eye) == pytest.approx(5)
    assert spread(torch.cat([eye, -eye])) == pytest.approx(1)
    assert effective_rank(torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 1]])) == pytest.approx(2.8284271)
    same = torch.tensor([[3.0, 4.0]]).repeat(6, 1)
    assert spread(same) == pytest.approx(0, abs=1e-7)
    assert effective_rank(same) == pytest.approx(1)
    assert effective_rank(torch.zeros(4, 3)) == 0


@pytest.mark.parametrize(("train", "looked"), [(1258, 314), (300, 75), (200, 64), (40, 40), (2, 2)])
def test_it_looks_at_some_training_images_as_evaluation_sees_them(
    digits: Dataset, train: int, looked: int
) -> None:
    read: list[int] = []

    def watched(i: int) -> np.ndarray:
        read.append(i)
        return digits.read(i)

    few = dataclasses.replace(digits, train=digits.train[:train], read=watched)
    watching = monitor(few)
    health = [watching.look(method(lambda images: images.flatten(1))) for _ in range(2)]
    assert health[0] == health[1]
    assert len(read) == len(set(read)) == looked
    assert set(read) <= set(few.train.tolist())
    pixels = torch.from_numpy(np.stack([identity_view(digits.read(i), PREPROCESS) for i in read]))
    h = PREPROCESS.normalise(pixels.permute(0, 3, 1, 2)).flatten(1)
    assert health[0].spread == pytest.approx(spread(h), rel=1e-9)
    assert health[0].rank == pytest.approx(effective_rank(h), rel=1e-9)


def test_no_more_than_512_and_by_the_seed(digits: Dataset) -> None:
    many = dataclasses.replace(digits, train=np.tile(digits.train, 2))
    seen: list[Tensor] = []
    for seed in (0, 0, 1):
        watching = Monitor(many, PREPROCESS, Choices(size=8, seed=seed), "cpu")
        watching.look(method(lambda images: seen.append(images) or images.flatten(1)))
    a, b, c = (torch.cat(seen[i : i + 2]) for i in (0, 2, 4))
    assert len(a) == 512
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_modes_buffers_gradients_and_generators_are_left_as_they_were(digits: Dataset) -> None:
    backbone = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.BatchNorm1d(16)
    )
    held = method(backbone).train()
    backbone[4].eval()  # a norm that is frozen stays so
    modes = [module.training for module in held.modules()]
    before = {name: tensor.clone() for name, tensor in held.state_dict().items()}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    monitor(digits, online="knn").look(held)
    assert [module.training for module in held.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in held.state_dict().items())
    assert all(parameter.grad is None for parameter in held.parameters())
    assert torch.equal(generators[0], torch.get_rng_state())
    assert generators[1] == random.getstate()
    assert (generators[2] == np.random.get_state()[1]).all()

    def broken(images: Tensor) -> Tensor:
        raise RuntimeError("broken")

    failing = method(broken).train()
    with pytest.raises(RuntimeError, match="broken"):
        monitor(digits).look(failing)
    assert failing.backbone.training


def bright(images: Tensor) -> Tensor:
    return images.flatten(1).mean(1, keepdim=True)


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        (lambda images: images.flatten(1), None),
        (lambda images: torch.ones(len(images), 16), "COLLAPSED: all images have one embedding."),
        (lambda images: torch.zeros(len(images), 16), "COLLAPSED: all images have one embedding."),
        (lambda images: 1 + 1e-7 * images.flatten(1), "COLLAPSED: all images have one embedding."),
        (lambda images: 5 + 1e-2 * images.flatten(1)[:, :99], "near collapse: embeddings vary by "),
        (
            lambda images: bright(images) * torch.arange(1.0, 17),
            "COLLAPSED: participation ratio 1.0, at most 16: 100.0 % of the variance in one direction.",
        ),
        (
            lambda images: torch.cat([20 * bright(images), 0.04 * images.flatten(1)], dim=1),
            "dimensional collapse: participation ratio 1.",
        ),
    ],
)
def test_a_collapse_is_called_so_as_a_card_calls_it(
    digits: Dataset, tmp_path: Path, embed: Callable[[Tensor], Tensor], said: str | None
) -> None:
    health = monitor(digits).look(method(embed))
    assert health.spread is not None
    if said is None:
        assert health.collapsed is None
        return
    assert health.collapsed is not None
    assert health.collapsed.startswith(said)
    pixels = np.stack([identity_view(digits.read(i), PREPROCESS) for i in range(len(digits))])
    rows = embed(PREPROCESS.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))).numpy()
    parts = Parts(tmp_path, len(rows))
    for part in range(parts.count):
        parts.write(part, rows[parts.block(part)][:, None])
    worst = [check for check in check_features(Features(parts), digits) if check.status != "pass"]
    assert worst[0].status == ("fail" if said.startswith("COLLAPSED") else "warn")


def test_embeddings_that_are_not_finite_are_reported_and_have_no_numbers(digits: Dataset) -> None:
    def bad(images: Tensor) -> Tensor:
        h = images.flatten(1).clone()
        h[::100] = torch.tensor([float("nan"), float("inf")])[torch.arange(len(h[::100])) % 2][:, None]
        return h

    health = monitor(digits, online="knn").look(method(bad))
    assert (health.spread, health.rank, health.online) == (None, None, None)
    assert health.collapsed is not None
    assert health.collapsed.startswith("NOT FINITE: 4 of 314 images have NaN or Inf: rows ")


def test_online_accuracy_is_of_other_training_images(digits: Dataset) -> None:
    read: set[int] = set()

    def watched(i: int) -> np.ndarray:
        read.add(i)
        return digits.read(i)

    watch = dataclasses.replace(digits, read=watched)
    accuracy = {}
    for online in ("knn", "nearest-centre"):
        watching = monitor(watch, online=online)
        accuracy[online] = watching.look(method(lambda images: images.flatten(1))).online
        noise = method(lambda images: torch.randn(len(images), 8))
        assert watching.look(noise).online < 0.2
    assert read == set(digits.train.tolist())
    assert accuracy["knn"] > 0.95
    assert 0.8 < accuracy["nearest-centre"] < 0.95
    few = dataclasses.replace(digits, train=digits.train[:4])
    assert monitor(few, online="knn").look(method(lambda images: images.flatten(1))).online in (0, 1)


@pytest.mark.parametrize(
    ("labels", "has"), [(None, "has none"), (np.zeros(1797, dtype=np.int64), "has one class alone")]
)
def test_online_accuracy_without_labels_is_refused(
    digits: Dataset, labels: np.ndarray | None, has: str
) -> None:
    unlabelled = dataclasses.replace(digits, labels=labels)
    assert monitor(subset(unlabelled, max_images=80)).look(method(lambda images: images.flatten(1))).rank
    with pytest.raises(UsageError, match=f"--online knn reads labels of training images, and digits {has}"):
        monitor(unlabelled, online="knn")
    with pytest.raises(UsageError, match="--online nearest is none of knn, nearest-centre"):
        monitor(digits, online="nearest")


@given(seed=st.integers(0, 2**31), n=st.integers(1, 40), classes=st.integers(1, 4))
def test_votes_and_centres_against_loops(seed: int, n: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    query, bank = rng.normal(size=(6, 5)), rng.normal(size=(n, 5))
    labels = rng.integers(0, classes, n)
    unit = [bank[i] / np.linalg.norm(bank[i]) for i in range(n)]
    voted, centred = [], []
    for row in query / np.linalg.norm(query, axis=1, keepdims=True):
        votes = np.zeros(classes)
        for i in sorted(range(n), key=lambda i: -row @ unit[i])[:20]:
            votes[labels[i]] += math.exp(row @ unit[i] / 0.07)
        voted.append(votes.argmax())
        away = {
            k: np.linalg.norm(row - np.mean([unit[i] for i in range(n) if labels[i] == k], axis=0))
            for k in set(labels)
        }
        centred.append(min(away, key=away.__getitem__))
    arrays = (torch.from_numpy(query), torch.from_numpy(bank), torch.from_numpy(labels))
    assert by_neighbours(*arrays).tolist() == voted
    assert by_centre(*arrays).tolist() == centred
