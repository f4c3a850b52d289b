"""What each step of training sees: which images, which views, on which process."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from sslaudit import load_dataset
from sslaudit.data import Dataset
from sslaudit.encoder import Preprocess
from sslaudit.errors import DataError, TrainingError, UsageError
from sslaudit.recipes import parse_recipe
from sslaudit.registry import installed
from sslaudit.train import batches as module
from sslaudit.train.batches import Batches
from sslaudit.train.choices import Choices
from sslaudit.world import World


def plain(images: int, side: int = 8) -> Dataset:
    """Image i of ``images`` is gray of level i everywhere; all are for training."""
    return Dataset.build(
        ref="plain",
        read=lambda i: np.full((side, side, 3), i, dtype=np.uint8),
        digests=[f"{i:064x}" for i in range(images)],
        class_names=None,
        splits=["train"] * images,
    )


def batches(
    data: Dataset,
    *,
    size: int = 8,
    recipe: str = "crop+color",
    n_views: int = 2,
    rank: int = 0,
    of: int = 1,
    **chosen: int,
) -> Batches:
    preprocess = Preprocess(size=(size, size), mean=(0.5,) * 3, std=(0.5,) * 3)
    parsed = parse_recipe(recipe, installed().recipes.usable())
    world = World(rank, of, rank)
    return Batches(data, parsed, preprocess, Choices(**chosen), n_views=n_views, world=world)


def seen(view: Tensor) -> list[int]:
    """The grey levels, which number the images of ``plain``."""
    return ((view[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().int().tolist()


@given(
    images=st.integers(2, 40), batch_size=st.integers(2, 50), of=st.integers(1, 4), epoch=st.integers(1, 99)
)
@settings(max_examples=40, deadline=None)
def test_every_image_is_seen_at_most_once_in_equal_shares(
    images: int, batch_size: int, of: int, epoch: int
) -> None:
    """By counting: what the processes see together, step by step."""
    if min(images, batch_size) < 2 * of:
        error = UsageError if batch_size < 2 * of else TrainingError
        with pytest.raises(error, match="needs at least"):
            batches(plain(images), batch_size=batch_size, of=of)
        return
    each = [batches(plain(images), recipe="crop", batch_size=batch_size, rank=k, of=of) for k in range(of)]
    shares = [[seen(a) for a, _ in one.epoch(epoch)] for one in each]
    assert {len(share) for share in shares} == {len(each[0])}
    for step in zip(*shares, strict=True):
        assert len({len(share) for share in step}) == 1
        assert len(step[0]) >= 2
    found = [i for share in shares for step in share for i in step]
    assert len(found) == len(set(found)) == images - each[0].left_over
    assert each[0].left_over < 2 * of
    assert each[0].batch_size == min(batch_size, images) // of * of


@pytest.mark.parametrize("recipe", ["crop+color", "crop+gray|crop+color(p=1.0)"])
def test_two_processes_see_what_one_sees(recipe: str) -> None:
    data = plain(29)
    alone = list(batches(data, recipe=recipe, batch_size=8, seed=3).epoch(2))
    both = [list(batches(data, recipe=recipe, batch_size=8, seed=3, rank=k, of=2).epoch(2)) for k in (0, 1)]
    assert [len(a) for a, _ in alone] == [8, 8, 8, 5]
    for whole, *halves in zip(alone, *both, strict=True):
        for view, *parts in zip(whole, *halves, strict=True):
            joined = torch.cat(parts)
            assert len(joined) == len(view) // 2 * 2
            assert torch.equal(joined, view[: len(joined)])


def test_an_epoch_taken_up_in_the_middle_goes_on_as_it_would_have() -> None:
    data = load_dataset("digits")
    whole = list(batches(data, batch_size=200, seed=1).epoch(3))
    for start in (0, 4, len(whole)):
        rest = list(batches(data, batch_size=200, seed=1).epoch(3, start))
        assert len(rest) == len(whole) - start
        assert all(
            torch.equal(a, b)
            for one, other in zip(whole[start:], rest, strict=True)
            for a, b in zip(one, other, strict=True)
        )


def test_seed_epoch_and_step_each_change_order_and_views() -> None:
    steps = [
        (tuple(seen(a)), tuple(b.unique().tolist()))
        for seed in (0, 1)
        for epoch in (1, 2)
        for a, b in batches(plain(16), recipe="crop|crop+color(p=1.0)", batch_size=8, seed=seed).epoch(epoch)
    ]
    assert len(steps) == len({order for order, _ in steps}) == 8
    assert len({drawn for _, drawn in steps}) == 8


@pytest.mark.parametrize("n_views", [1, 2, 3])
def test_views_take_the_two_distributions_in_turn(n_views: int) -> None:
    """The first one inverts all levels, the second leaves grey images as they are."""
    data, recipe = plain(9), "crop+solarize(p=1.0,threshold=0)|crop"
    (views,) = batches(data, recipe=recipe, n_views=n_views).epoch(1)
    assert [tuple(view.shape) for view in views] == [(9, 3, 8, 8)] * n_views
    first, *others = (
        [255 - i for i in seen(view)] if k % 2 == 0 else seen(view) for k, view in enumerate(views)
    )
    assert sorted(first) == list(range(9))
    assert all(other == first for other in others)


def test_images_are_normalised() -> None:
    a, _ = next(batches(plain(9), recipe="crop", batch_size=9).epoch(1))
    assert a.dtype == torch.float32
    torch.testing.assert_close(a.flatten(1).amax(1).sort().values, (torch.arange(9) / 255 - 0.5) / 0.5)


def counting(data: Dataset) -> tuple[Dataset, list[int]]:
    """``data`` and which of its images were read so far."""
    read: list[int] = []

    def watched(i: int) -> np.ndarray:
        read.append(i)
        return data.read(i)

    return dataclasses.replace(data, read=watched), read


def test_small_data_are_decoded_once_and_what_finds_no_room_in_every_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, read = counting(plain(12))
    once = batches(data, batch_size=4)
    first = [list(once.epoch(1)), list(once.epoch(2))]
    assert sorted(read) == list(range(12))
    read.clear()
    monkeypatch.setattr(module, "KEPT_BYTES", 5 * 8 * 8 * 3)
    twice = batches(data, batch_size=4)
    again = [list(twice.epoch(1)), list(twice.epoch(2))]
    assert len(read) == 12 + 7
    assert all(
        torch.equal(a, b)
        for epoch, other in zip(first, again, strict=True)
        for one, two in zip(epoch, other, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def test_views_do_not_depend_on_how_many_images_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_dataset("digits")
    whole = next(batches(data, batch_size=60).epoch(1))
    monkeypatch.setattr("sslaudit.extraction.pixels.DECODED_BYTES", 7 * data.read(0).nbytes)
    for a, b in zip(whole, next(batches(data, batch_size=60).epoch(1)), strict=True):
        assert torch.equal(a, b)


def photos(folder: Path) -> Dataset:
    """Twelve files of noise."""
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    data = load_dataset(folder)
    return dataclasses.replace(data, train=np.arange(12))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:400])


@pytest.mark.parametrize(("harm", "reason"), [(cut, "damaged"), (Path.unlink, "No such file")])
def test_an_image_lost_in_the_middle_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None], reason: str
) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 0)
    some = batches(photos(tmp_path), batch_size=4)
    assert len(list(some.epoch(1))) == 3
    harm(tmp_path / "07.png")
    with pytest.raises(DataError, match=rf"^'07.png' of '.*' cannot be read any more: {reason}"):
        list(some.epoch(2))


def test_an_iteration_that_stops_early_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    steps = batches(photos(tmp_path), batch_size=2).epoch(1)
    next(steps)
    assert threading.active_count() > before
    steps.close()
    assert threading.active_count() == before


def test_what_batch_norm_cannot_train_on_is_refused() -> None:
    for images, batch_size, of, error, said in (
        (9, 1, 1, UsageError, r"^--batch-size 1: a step needs at least 2 images\.$"),
        (1, 8, 1, TrainingError, "has 1 training images of 1; training needs at least 2"),
        (
            9,
            7,
            4,
            UsageError,
            r"^--batch-size 7: a step needs at least 8 images, 2 for each of 4 processes\.$",
        ),
        (
            7,
            64,
            4,
            TrainingError,
            "has 7 training images of 7; training needs at least 8, 2 for each of 4 processes",
        ),
    ):
        with pytest.raises(error, match=said):
            batches(plain(images), batch_size=batch_size, of=of)
