"""Corruptions against loops over pixels, colorsys and Pillow."""

import colorsys
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sslaudit_probes.change.corruptions import (
    blur,
    brighten,
    corruption,
    fade,
    jpeg,
    noise,
    pixelate,
)
from sslaudit_probes.change.options import CORRUPTIONS

DIGESTS = [f"{k:064x}" for k in range(6)]


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(256, (6, 3, 32, 48), generator=generator, dtype=torch.uint8)
    drawn[0, :, :4] = 0
    return drawn


def test_brightness_is_the_value_of_hsv(pixels: Tensor) -> None:
    found = brighten(pixels, 0.3)[0].permute(1, 2, 0).reshape(-1, 3).numpy()
    for before, after in zip(pixels[0].permute(1, 2, 0).reshape(-1, 3).numpy() / 255, found, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*before)
        wanted = 255 * np.array(colorsys.hsv_to_rgb(h, s, min(1, v + 0.3)))
        assert np.abs(after - wanted).max() <= 0.5 + 1e-3


def test_contrast_is_the_distance_to_the_mean_of_each_channel(pixels: Tensor) -> None:
    levels = pixels.double().numpy()
    mean = levels.mean(axis=(2, 3), keepdims=True)
    wanted = (levels - mean) * 0.2 + mean
    assert np.abs(fade(pixels, 0.2).numpy() - wanted).max() <= 0.5 + 1e-3


def test_noise_has_its_deviation_and_is_drawn_by_content() -> None:
    gray = torch.full((6, 3, 64, 64), 128, dtype=torch.uint8)
    found = noise(gray, 0.08, "key", DIGESTS)
    assert float(found.double().std()) / 255 == pytest.approx(0.08, rel=0.02)
    assert float(found.double().mean()) == pytest.approx(128, abs=0.5)
    assert torch.equal(noise(gray[2:4], 0.08, "key", DIGESTS[2:4]), found[2:4])
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(noise(gray, 0.08, "other", DIGESTS), found)


def test_blur_is_in_proportion_to_the_side() -> None:
    """The second moment of a blurred point is sigma squared."""
    for side in (112, 224):
        point = torch.zeros(1, 3, side, side, dtype=torch.uint8)
        middle = side // 2
        point[:, :, middle] = 255  # a line: there is more than a grey level to see
        profile = blur(point, 3.0)[0, 0, :, middle].double()
        moment = (profile * (torch.arange(side) - middle) ** 2).sum() / profile.sum()
        assert float(moment.sqrt()) == pytest.approx(3 * side / 224, rel=0.05)
    flat = torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(blur(flat, 6.0), flat)
    assert torch.equal(blur(flat[..., :1, :1], 6.0), flat[..., :1, :1])


def test_pixelate_shows_means_of_areas() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(1, 3, 8, 8)
    found = pixelate(ramp, 0.25)[0, 0]
    for rows in (slice(0, 4), slice(4, 8)):
        for columns in (slice(0, 4), slice(4, 8)):
            mean = float(ramp[0, 0, rows, columns].double().mean())
            assert found[rows, columns].unique().numel() == 1
            assert abs(float(found[rows, columns][0, 0]) - mean) <= 0.5
    assert pixelate(ramp[..., :1, :1], 0.25).shape == (1, 3, 1, 1)


def test_jpeg_is_written_and_read_by_pillow(pixels: Tensor) -> None:
    found = jpeg(pixels, 15)
    for before, after in zip(pixels, found, strict=True):
        file = io.BytesIO()
        Image.fromarray(before.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=15)
        np.testing.assert_array_equal(np.asarray(Image.open(file)), after.permute(1, 2, 0))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_worse_with_severity_and_leaves_shape_and_input(name: str) -> None:
    rows, columns = torch.meshgrid(torch.arange(112), torch.arange(112), indexing="ij")
    board = 100 * ((rows + 2 * columns) // 9 % 2)  # edges, on a ramp of colour
    images = torch.stack([board + rows, board + columns, board + 50]).to(torch.uint8)[None].repeat(6, 1, 1, 1)
    kept = images.clone()
    damage = []
    for severity in range(1, 6):
        found = corruption(name, severity, 0).apply(images, DIGESTS)
        assert (found.shape, found.dtype) == (images.shape, torch.uint8)
        damage.append(float((found.double() - images.double()).abs().mean()))
    assert damage == sorted(damage)
    assert 0 < damage[0] < damage[-1]
    assert torch.equal(images, kept)
    assert len({corruption(name, severity, 0).key for severity in range(1, 6)}) == 5


def test_what_there_is_not() -> None:
    for name, severity in (("fog", 3), ("noise", 0), ("noise", 6)):
        with pytest.raises(ValueError, match="no corruption"):
            corruption(name, severity, 0)
    assert corruption("noise", 3, 0).key != corruption("noise", 3, 1).key
