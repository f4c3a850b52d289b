"""Odd and tiny images at odd sizes: every view is made, every size trains, and the rule of blur is said."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslaudit import load_dataset, load_encoder
from sslaudit.data import Dataset
from sslaudit.encoder import Preprocess
from sslaudit.recipes import Recipe, parse_recipe
from sslaudit.registry import installed
from sslaudit.train.choices import Choices
from sslaudit.train.loop import train
from sslaudit.views import SLOTS, draw, make_views

SIZES = (8, 20, 24, 32, 96, 97)
KERNELS = {8: None, 20: None, 24: None, 32: 3, 96: 9, 97: 9}
"""Taps of a blur of a tenth of the side: odd and at least 3; none below 32 pixels."""
SHAPES = ((1, 1), (3, 2), (8, 8), (20, 20), (17, 31), (500, 33))
"""Heights and widths of the images."""


def pixels() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in SHAPES]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two classes of six odd images each."""
    folder = tmp_path_factory.mktemp("odd")
    for kind in ("a", "b"):
        (folder / kind).mkdir()
        for image in pixels():
            height, width = image.shape[:2]
            Image.fromarray(image if kind == "a" else 255 - image).save(
                folder / kind / f"{width}x{height}.png"
            )
    return load_dataset(str(folder))


def recipe(text: str) -> Recipe:
    return parse_recipe(text, installed().recipes.usable())


@pytest.mark.parametrize("text", ["simclr", "byol", "crop+flip+color+gray+blur(p=1.0)+solarize", "flip+blur"])
@pytest.mark.parametrize("size", SIZES)
def test_views_of_any_image_at_any_size(size: int, text: str) -> None:
    preprocess = Preprocess(size=(size, size))
    uniforms = draw(0, [str(shape) for shape in SHAPES], 4)
    uniforms[0, 1], uniforms[0, 2] = 0.0, np.nextafter(1, 0)  # the ends of every range
    views = make_views(pixels(), uniforms, recipe(text), preprocess)
    assert views.shape == (6, 4, 3, size, size)
    assert views.dtype == torch.uint8
    alone = make_views(pixels()[3:4], uniforms[3:4], recipe(text), preprocess)
    assert torch.equal(views[3:4], alone)  # what stands beside an image changes nothing


@pytest.mark.parametrize("size", SIZES)
def test_one_pixel_becomes_an_image_of_its_colour(size: int) -> None:
    pixel = np.array([[[10, 100, 250]]], dtype=np.uint8)
    views = make_views(
        [pixel], np.full((1, 3, SLOTS), 0.5), recipe("crop+blur(p=1.0)"), Preprocess(size=(size, size))
    )
    assert torch.equal(views, torch.tensor([10, 100, 250], dtype=torch.uint8)[:, None, None].expand_as(views))


@pytest.mark.parametrize("size", SIZES)
def test_the_rule_of_blur_is_kept_and_said(size: int) -> None:
    blurred = recipe("simclr")
    (blur,) = (one.blur for one in blurred.distributions)
    assert blur is not None
    kernel = blur.kernel_size((size, size))
    assert kernel == KERNELS[size]
    assert kernel is None or (kernel % 2 == 1 and kernel >= 3)
    said = "blur: left out, as below 32 px" if kernel is None else f"kernel {kernel} x {kernel} px"
    assert said in blurred.describe((size, size))
    assert f"resized to {size} x {size} px" in blurred.describe((size, size))


@pytest.mark.parametrize("method", ["simclr", "rotation", "bigan"])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_trains_an_epoch_and_loads(odd: Dataset, tmp_path: Path, size: int, method: str) -> None:
    registry = installed()
    losses: list[float] = []
    header = train(
        registry.methods.get(method),
        odd,
        output=tmp_path / "x.pt",
        named=registry.recipes.usable(),
        choices=Choices(size=size, recipe="simclr", epochs=1, batch_size=4),
        options={"width": 8} if method == "bigan" else {},
        on_epoch=lambda epoch: losses.append(epoch.loss),
    )
    assert np.isfinite(losses).all()
    assert len(losses) == 1
    assert ("blur: left out, as below 32 px" in header.views) == (size < 32)
    encoder = load_encoder(str(tmp_path / "x.pt"), device="cpu")
    assert encoder.preprocess.size == (size, size)
    assert encoder.facts["views"] == header.views
    with torch.inference_mode():
        assert torch.isfinite(encoder.embed(torch.rand(2, 3, size, size))).all()
