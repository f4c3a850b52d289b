"""Features: what a plain loop gives, whatever batch, worker, process or interruption."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sslaudit import Preprocess
from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, from_module
from sslaudit.errors import DataError
from sslaudit.extraction import Extraction, PixelViews, Progress, features_of, parts_of
from sslaudit.extraction.pipeline import _rebatched
from sslaudit.extraction.pixels import DECODED_BYTES
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe
from sslaudit.store import PART_IMAGES
from sslaudit.train.backbones import build_backbone
from sslaudit.views import draw, make_views

SIZE = (16, 16)
PREPROCESS = Preprocess(size=SIZE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
NAMED = {spec.name: spec for spec in BUILTIN_RECIPES}
HOW = Extraction(recipe=parse_recipe("simclr", NAMED), views=3, seed=7, batch_size=50)


def images(count: int) -> Dataset:
    """Noise of various sizes."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (12 + i % 5, 14 + i % 3, 3), dtype=np.uint8) for i in range(count)]
    return Dataset.build(
        ref="noise",
        read=lambda i: pixels[i],
        digests=[f"image {i}" for i in range(count)],
        class_names=[str(i % 2) for i in range(count)],
    )


def network(seed: int = 0) -> nn.Module:
    """A small net with batch norms whose statistics are no defaults."""
    torch.manual_seed(seed)
    net = build_backbone("conv3", seed=seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return net


@pytest.fixture(scope="module")
def data() -> Dataset:
    return images(PART_IMAGES + 40)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return from_module(network(), preprocess=PREPROCESS)


@pytest.fixture(scope="module")
def plain(data: Dataset, encoder: Encoder) -> np.ndarray:
    """One view at a time, through the module itself."""
    rows = []
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (PREPROCESS.mean, PREPROCESS.std))
    with torch.inference_mode():
        for i in range(len(data)):
            uniforms = draw(HOW.seed, [data.digests[i]], HOW.views)
            for view in make_views([data.read(i)], uniforms, HOW.recipe, PREPROCESS)[0]:
                rows.append(encoder.module((view[None].float() / 255 - mean) / std)[0])
    return torch.stack(rows).view(len(data), HOW.views, -1).numpy()


def test_features_are_those_of_a_plain_loop(
    data: Dataset, encoder: Encoder, plain: np.ndarray, tmp_path: Path
) -> None:
    found = features_of(encoder, data, HOW, cache=tmp_path).read()
    scale = np.linalg.norm(plain, axis=-1).max()
    assert np.linalg.norm(found - plain, axis=-1).max() <= 1e-5 * scale


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_change_no_byte(data: Dataset, encoder: Encoder, tmp_path: Path, workers: int) -> None:
    alone = features_of(encoder, data, HOW, cache=tmp_path / "0").read()
    found = features_of(encoder, data, replace(HOW, workers=workers), cache=tmp_path / "n").read()
    np.testing.assert_array_equal(found, alone)


@pytest.mark.parametrize("batch", [1, 7, 256, 10_000])
def test_batch_sizes_agree_to_float_error(
    data: Dataset, encoder: Encoder, plain: np.ndarray, tmp_path: Path, batch: int
) -> None:
    found = features_of(encoder, data, replace(HOW, batch_size=batch), cache=tmp_path).read()
    assert np.linalg.norm(found - plain, axis=-1).max() <= 1e-5 * np.linalg.norm(plain, axis=-1).max()


def test_the_views_of_fewer_are_the_first_of_more(data: Dataset, encoder: Encoder, tmp_path: Path) -> None:
    few = features_of(encoder, data, HOW, cache=tmp_path).read()
    many = features_of(encoder, data, replace(HOW, views=5), cache=tmp_path).read()
    np.testing.assert_allclose(many[:, : HOW.views], few, atol=1e-5 * np.abs(few).max())


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 11))
def test_batches_are_the_stream_cut_anew(pieces: list[int], size: int) -> None:
    stream = torch.arange(sum(pieces))
    cut = list(_rebatched(torch.split(stream, pieces), size)) if pieces else []
    assert [len(batch) for batch in cut[:-1]] == [size] * len(cut[:-1])
    assert all(0 < len(batch) <= size for batch in cut)
    assert torch.equal(torch.cat(cut) if cut else stream, stream)


def test_progress_counts_every_view_once(data: Dataset, encoder: Encoder, tmp_path: Path) -> None:
    heard: list[Progress] = []
    features_of(encoder, data, HOW, cache=tmp_path, on_progress=heard.append)
    total = len(data) * HOW.views
    assert [heard[0].done, heard[-1].done] == [0, total]
    assert [one.done for one in heard] == sorted(one.done for one in heard)
    assert {one.total for one in heard} == {total}
    heard.clear()
    features_of(encoder, data, HOW, cache=tmp_path, on_progress=heard.append)
    assert [(one.done, one.cached) for one in heard] == [(total, total)]


def test_the_plain_view_is_one_set_whatever_would_be_drawn(data: Dataset, encoder: Encoder) -> None:
    others = (
        {"recipe": parse_recipe("crop", NAMED)},
        {"recipe": parse_recipe("none", NAMED)},
        {"seed": 8},
        {"views_mode": "bank"},
    )
    for views, alike in ((1, True), (2, False)):
        how = replace(HOW, views=views)
        assert [replace(how, **o).key(encoder, data) == how.key(encoder, data) for o in others] == [alike] * 4


def test_only_what_is_missing_is_computed(data: Dataset, encoder: Encoder, tmp_path: Path) -> None:
    whole = features_of(encoder, data, HOW, cache=tmp_path).read()
    parts = parts_of(encoder, data, HOW, cache=tmp_path)
    parts.path(1).unlink()
    read: list[int] = []

    def watched(i: int) -> np.ndarray:
        read.append(i)
        return data.read(i)

    found = features_of(encoder, replace(data, read=watched), HOW, cache=tmp_path).read()
    assert sorted(read) == list(parts.block(1))
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_went_away_is_named(
    data: Dataset, encoder: Encoder, tmp_path: Path, workers: int
) -> None:
    def gone(i: int) -> np.ndarray:
        if i == PART_IMAGES + 3:
            raise FileNotFoundError(2, "No such file or directory")
        return data.read(i)

    broken = replace(data, read=gone)
    with pytest.raises(DataError, match=rf"'{PART_IMAGES + 3}' of 'noise' cannot be read any more: No such"):
        features_of(encoder, broken, replace(HOW, workers=workers), cache=tmp_path)
    assert parts_of(encoder, data, HOW, cache=tmp_path).missing() == [1]


class Slow(nn.Module):
    """A network that takes its time, so that a kill finds it at work."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.004)
        return self.net(x)


def _killed_and_resumed(kills: int, tmp_path: Path) -> None:
    data = images(3 * PART_IMAGES)
    encoder = from_module(Slow(), preprocess=PREPROCESS)
    whole = features_of(encoder, data, HOW, cache=tmp_path / "whole").read()
    rng = np.random.default_rng(kills)
    cache = tmp_path / "killed"
    parts = parts_of(encoder, data, HOW, cache=cache)
    killed = 0
    while killed < kills:
        child = os.fork()
        if child == 0:  # pragma: no cover - the child never comes back
            try:
                features_of(encoder, data, HOW, cache=cache)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, 0.45))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if not parts.missing():
            parts.drop()  # it was faster than the kill: again from the start
    found = features_of(encoder, data, HOW, cache=cache).read()
    np.testing.assert_array_equal(found, whole)


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    _killed_and_resumed(4, tmp_path)


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path: Path) -> None:
    _killed_and_resumed(20, tmp_path)


def test_two_processes_at_once_do_no_harm(data: Dataset, encoder: Encoder, tmp_path: Path) -> None:
    whole = features_of(encoder, data, HOW, cache=tmp_path / "one").read()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:  # pragma: no cover
            code = 1
            try:
                same = features_of(encoder, data, HOW, cache=tmp_path / "both").read()
                code = int(not np.array_equal(same, whole))
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    parts = parts_of(encoder, data, HOW, cache=tmp_path / "both")
    assert sorted(file.name for file in parts.folder.iterdir()) == [
        "about.json",
        "part-000000.npy",
        "part-000001.npy",
    ]


def test_pixel_views_are_what_the_encoder_saw(data: Dataset, encoder: Encoder, tmp_path: Path) -> None:
    seen = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean(dim=(2, 3))

    watching = from_module(Watching(), preprocess=Preprocess(size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3))
    seen.clear()
    pixels = PixelViews(data, HOW, watching.preprocess)
    features = features_of(watching, data, HOW, cache=tmp_path).read()
    for rows, views in pixels.chunks():
        mean = views.float().div(255).mean(dim=(3, 4)).numpy()
        np.testing.assert_allclose(features[rows], mean, atol=1e-5)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_large_images_are_held_few_at_a_time(tmp_path: Path, workers: int) -> None:
    """Decoded pixels are bounded, however large the images and however many fit into a batch of views."""
    side = 2400
    alive: set[int] = set()
    most = 0

    class Counted(np.ndarray):
        def __del__(self) -> None:
            alive.discard(id(self))

    def read(i: int) -> np.ndarray:
        nonlocal most
        image = np.full((side, side, 3), i, dtype=np.uint8).view(Counted)
        alive.add(id(image))
        most = max(most, len(alive))
        return image

    data = replace(images(60), read=read)
    encoder = from_module(Slow(), preprocess=PREPROCESS)
    how = replace(HOW, views=1, workers=workers)
    features_of(encoder, data, how, cache=tmp_path)
    allowed = -(-DECODED_BYTES // (side * side * 3))
    assert 0 < most <= 2 * allowed + workers
