"""``preprocessor_config.json`` becomes the same pixels that transformers' own processor makes."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sslaudit.encoder import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from sslaudit.errors import EncoderError
from sslaudit_hub.preprocessor import preprocessing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers as hf

MEAN, STD = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]


def square(config: dict[str, Any]) -> Preprocess:
    """The preprocessing of ``config``, with 24 pixels as the model's own size."""
    return preprocessing(config, image_size=24)[0]


@pytest.mark.parametrize(
    "processor",
    [
        hf.ViTImageProcessor(size={"height": 32, "width": 32}, image_mean=MEAN, image_std=STD),
        hf.ViTImageProcessor(size={"height": 32, "width": 32}, do_normalize=False),
        hf.ViTImageProcessor(
            size={"height": 32, "width": 32}, do_rescale=False, image_mean=MEAN, image_std=STD
        ),
        hf.ViTImageProcessor(size={"height": 32, "width": 32}, rescale_factor=1 / 127.5),
        hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        hf.BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 24, "width": 24}),
        hf.ConvNextImageProcessor(size={"shortest_edge": 28}, crop_pct=0.875),
        hf.EfficientNetImageProcessor(
            size={"height": 32, "width": 32}, rescale_factor=1 / 127.5, rescale_offset=True
        ),
    ],
    ids=["plain", "raw", "unscaled", "doubled", "clip", "crop", "convnext", "offset"],
)
def test_a_square_image_of_the_resized_size_gives_the_processors_pixels(processor: Any) -> None:
    found = square(processor.to_dict())
    side = round(found.size[0] / found.crop)
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    theirs = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    top = (side - found.size[0]) // 2
    cut = pixels[top : top + found.size[0], top : top + found.size[1]]
    ours = found.normalise(torch.tensor(cut).permute(2, 0, 1)[None])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert found.source == "preprocessor_config.json"


def test_sizes_in_every_spelling() -> None:
    norm = {"image_mean": MEAN, "image_std": STD, "resample": 3}
    assert square({**norm, "size": 40}).size == (40, 40)
    assert square({**norm, "size": [40, 48]}).size == (40, 48)
    assert square({**norm, "size": {"height": 40, "width": 48}}).size == (40, 48)
    old_clip = square({**norm, "size": 64, "crop_size": 56, "do_center_crop": True})
    assert (old_clip.size, old_clip.crop) == ((56, 56), 0.875)
    cut = square({**norm, "size": {"shortest_edge": 64}, "crop_size": {"height": 48, "width": 48}})
    assert (cut.size, cut.crop, cut.interpolation) == ((48, 48), 0.75, "bicubic")
    uncut = square({**norm, "size": {"shortest_edge": 64}, "crop_size": 48, "do_center_crop": False})
    assert (uncut.size, uncut.crop) == ((64, 64), 1.0)
    assert square({**norm, "size": {"shortest_edge": 384}, "crop_pct": 0.875}).crop == 1.0
    assert preprocessing({**norm, "size": 40}, image_size=24, size=96)[0].size == (96, 96)
    names = [square({**norm, "resample": number}).interpolation for number in range(6)]
    assert names == ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]


def test_what_is_not_said_or_cannot_be_done_is_an_assumption() -> None:
    found, notes = preprocessing({}, image_size=24)
    assert (found.size, found.mean, found.std) == ((24, 24), IMAGENET_MEAN, IMAGENET_STD)
    assert found.source == "assumed"
    normalised = "preprocessing: no preprocessor_config.json; ImageNet mean and std assumed"
    assert notes == (
        "input size: no preprocessor_config.json; 24 x 24 pixels, the model's own, assumed",
        normalised,
    )
    assert preprocessing({}, image_size=24, size=32)[1] == (normalised,), "a size that is given"
    _, silent = preprocessing({"do_resize": False}, image_size=24)
    assert silent == (
        "preprocessor_config.json does not resize; the shorter side is resized here",
        "preprocessing: preprocessor_config.json names no mean and std; ImageNet's assumed",
        "preprocessor_config.json names no interpolation; bilinear assumed",
    )
    _, stretched = preprocessing(
        {"size": {"height": 8, "width": 8}, "image_mean": MEAN, "image_std": STD, "resample": 2},
        image_size=24,
    )
    assert stretched == (
        "preprocessor_config.json stretches images to 8 x 8; here the centre is cut instead",
    )
    _, complete = preprocessing(
        {"size": {"shortest_edge": 8}, "crop_size": 8, "image_mean": MEAN, "image_std": STD, "resample": 2},
        image_size=24,
    )
    assert complete == ()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"do_flip_channel_order": True}, "swaps red and blue"),
        ({"image_mean": [0.5], "image_std": [0.5]}, "normalises 1 channels"),
        (
            {"image_mean": [123.7, 116.3, 103.5], "image_std": [58.4, 57.1, 57.4]},
            "preprocessor_config.json cannot be meant as it is: .* divide by 255",
        ),
    ],
)
def test_what_would_change_the_colours_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(EncoderError, match=reason):
        preprocessing(config, image_size=24)
