"""Boxes of pretext targets: what is read and refused, and that crop and surroundings share no pixel."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from sslaudit.errors import UsageError
from sslaudit.extraction import Alteration
from sslaudit.pretext import TARGETS, check_options
from sslaudit.pretext.alterations import beside, coarse, cut_out, enlarged
from sslaudit.pretext.options import CENTRE, DEFAULT_CROP
from sslaudit.pretext.regions import WHOLE, Box, check_apart, places

SIZES = [(7, 7), (8, 8), (9, 13), (224, 224), (31, 64)]


def noise(size: tuple[int, int], seed: int = 0, n: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, 3, *size), generator=generator, dtype=torch.uint8)


def other(pixels: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """``pixels`` with every value changed where ``where`` (H, W) says so."""
    return torch.where(where, 255 - pixels, pixels)


def inside(size: tuple[int, int], rows: slice, columns: slice) -> torch.Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


def changed(alteration: Alteration, pixels: torch.Tensor, where: torch.Tensor) -> bool:
    names = ["a"] * len(pixels)
    return not torch.equal(alteration.apply(pixels, names), alteration.apply(other(pixels, where), names))


def test_the_default_is_the_right_half_from_the_left() -> None:
    crop, hidden, shown = places(DEFAULT_CROP, WHOLE, (32, 64))
    assert crop == (slice(0, 32), slice(32, 64))
    assert hidden == (slice(0, 32), slice(28, 64)), "a gap of one sixteenth of 64 px"
    assert shown == (slice(0, 32), slice(0, 64))


@pytest.mark.parametrize(
    ("size", "columns", "gap"), [((7, 7), (4, 7), 1), ((8, 8), (4, 8), 1), ((17, 33), (17, 33), 3)]
)
def test_borders_go_to_the_nearest_pixel_and_the_gap_is_rounded_up(
    size: tuple[int, int], columns: tuple[int, int], gap: int
) -> None:
    crop, hidden, _ = places(DEFAULT_CROP, WHOLE, size)
    assert crop[1] == slice(*columns)
    assert hidden[1].start == columns[0] - gap


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop", [DEFAULT_CROP, CENTRE, Box(0.0, 0.3, 0.4, 0.61)], ids=str)
def test_x_and_z_share_no_pixel_and_use_all_that_are_theirs(size: tuple[int, int], crop: Box) -> None:
    pixels = noise(size)
    cut, hidden, _ = places(crop, WHOLE, size)
    is_crop, is_hidden = inside(size, *cut), inside(size, *hidden)
    x, zs = beside(crop, None), (cut_out(crop), coarse(cut_out(crop)), enlarged(crop))
    assert not changed(x, pixels, is_hidden)
    assert not changed(coarse(x), pixels, is_hidden)
    assert changed(x, pixels, ~is_hidden)
    for z in zs:
        assert not changed(z, pixels, ~is_crop)
        assert changed(z, pixels, is_crop)
    kept = x.apply(pixels, ["a", "b"])
    assert torch.equal(kept[..., ~is_hidden], pixels[..., ~is_hidden])


edges = st.floats(0, 1, allow_nan=False)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, right = sorted((draw(edges), draw(edges)))
    top, bottom = sorted((draw(edges), draw(edges)))
    assume(left < right and top < bottom)
    return Box(left, top, right, bottom)


@settings(max_examples=150, deadline=None)
@given(boxes(), boxes() | st.none(), st.integers(1, 40), st.integers(1, 40))
def test_any_boxes_are_refused_or_share_no_pixel(
    crop: Box, seen: Box | None, height: int, width: int
) -> None:
    size = (height, width)
    try:
        check_apart(crop, seen)
        cut, _, _ = places(crop, seen or WHOLE, size)
    except UsageError:
        return
    pixels, is_crop = noise(size, n=1), inside(size, *cut)
    x, z = beside(crop, seen), cut_out(crop)
    assert not changed(x, pixels, is_crop)
    assert not changed(z, pixels, ~is_crop)
    assert changed(x, pixels, ~is_crop)
    if seen is not None:
        assert not changed(x, pixels, ~inside(size, *places(crop, seen, size)[2]))
    assert Box.parse(str(crop), "crop") == crop


def test_what_is_covered_gets_the_mean_of_what_is_seen() -> None:
    pixels = noise((9, 13), n=3)
    x = beside(DEFAULT_CROP, None).apply(pixels, ["a", "b", "c"])
    for image, made in zip(pixels.numpy(), x.numpy(), strict=True):
        for channel in range(3):
            total = sum(int(image[channel, i, j]) for i in range(9) for j in range(6))
            assert (made[channel, :, 6:] == int(total / 54 + 0.5)).all()
            np.testing.assert_array_equal(made[channel, :, :6], image[channel, :, :6])


def test_a_view_is_altered_alike_whatever_is_beside_it() -> None:
    pixels = noise((224, 224), n=5)
    for alteration in (beside(CENTRE, None), coarse(beside(CENTRE, None)), enlarged(CENTRE)):
        together = alteration.apply(pixels, list("abcde"))
        alone = [alteration.apply(pixels[i : i + 1], ["x"]) for i in range(5)]
        assert torch.equal(together, torch.cat(alone))
        assert together.is_contiguous()


def test_the_key_says_everything_that_changes_pixels() -> None:
    one, two = Box(0.5, 0, 1, 1), Box(0.5, 0, 1, 0.9)
    made = [beside(one, None), beside(two, None), beside(one, Box(0, 0, 0.5, 1)), cut_out(one), cut_out(two)]
    made += [enlarged(one), enlarged(two), *(coarse(each) for each in made)]
    assert len({each.key for each in made}) == len(made)
    assert Box.parse(str(Box(1 / 3, 0.1, 2 / 3, 0.3)), "crop") == Box(1 / 3, 0.1, 2 / 3, 0.3)
    assert beside(one, None).key == "beside@1(crop=0.5:0:1:1,seen=0:0:1:1,gap=1/16)"


@pytest.mark.parametrize(
    ("crop", "seen", "said"),
    [
        ("0.5:0:1", "", "crop=0.5:0:1 is not a box of four numbers; write left:top:right:bottom"),
        ("a:0:1:1", "", "crop=a:0:1:1 is not a box of four numbers"),
        ("nan:0:1:1", "", "crop=nan:0:1:1 does not lie within the view, from 0 to 1"),
        ("0.5:0:1.5:1", "", "does not lie within the view"),
        ("0.5:0:0.5:1", "", "crop=0.5:0:0.5:1 is empty"),
        ("0.5:1:1:0", "", "is empty"),
        ("0:0:1:1", "", "cover the rest of the view, so the encoder would see nothing"),
        ("0.05:0:1:1", "", "Make the crop smaller"),
        ("0.5:0:1:1", "0:0:0.6:1", "overlap in 10.0% of the view: the encoder would see what is to be"),
        ("", "0:0:0.500001:1", "overlap in less than 0.1% of the view"),
        ("", "0.45:0:0.5:1", "cover seen=0.45:0:0.5:1"),
        ("", "1:2:3", "seen=1:2:3 is not a box of four numbers"),
    ],
)
def test_boxes_that_cannot_be_meant_are_refused_in_words(crop: str, seen: str, said: str) -> None:
    assert said in check_options(z="disjoint-crop", crop=crop, seen=seen)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 4)])
def test_views_of_too_few_pixels_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"is less than a pixel of views of {size[0]} x {size[1]} px"):
        beside(CENTRE, None).apply(noise(size), ["a", "b"])
    with pytest.raises(UsageError, match="crop is less than a pixel"):
        cut_out(Box(0.5, 0.5, 0.51, 0.51)).apply(noise((9, 9)), ["a", "b"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"z": "disjoint-crop"}, ""),
        ({"z": "rotation + color"}, ""),
        ({"z": "patch+disjoint-crop", "crop": "0:0:0.5:1", "describe": "embedding"}, ""),
        ({"z": "disjoint-crop", "crop": "0.5:0:1:1", "seen": "0:0:0.5:1"}, ""),
        ({"z": "rotations"}, "there is no target 'rotations'; did you mean 'rotation'?"),
        ({"z": ""}, "lacks a name"),
        ({"z": "color++patch"}, "lacks a name"),
        ({"z": "color+color"}, "z=color+color names 'color' twice"),
        ({"z": "patch", "crop": "0:0:0.5:1"}, "crop=0:0:0.5:1 is for z=disjoint-crop"),
        ({"z": "color", "seen": "0:0:0.5:1"}, "seen=0:0:0.5:1 is for z=disjoint-crop"),
        ({"z": "color", "describe": "embedding"}, "z=color has no crop"),
        ({"z": "patch", "describe": "words"}, "describe=words is not known; write pixels or embedding"),
        (
            {"z": "next-sentence"},
            "z=next-sentence is for text; an encoder that is evaluated here reads images",
        ),
    ],
)
def test_options_are_checked_together(options: dict[str, str], said: str) -> None:
    found = check_options(**options)
    assert said in found
    assert bool(said) == bool(found)


def test_options_are_checked_without_array_libraries() -> None:
    program = (
        "import sys; from sslaudit.pretext import TARGETS, check_options\n"
        "assert not check_options(z='disjoint-crop+rotation', crop='0:0:0.5:1')\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert not {"numpy", "torch", "sklearn", "scipy"} & set(loaded.split())
    assert next(iter(TARGETS)) == "disjoint-crop"


def smeared(source: int, side: int, how: Image.Resampling) -> int:
    """How many columns of the image change both what is seen and the crop, by default."""
    crop, hidden, _ = places(DEFAULT_CROP, WHOLE, (side, side))
    shared = 0
    for column in range(source):
        moved = np.zeros(side, dtype=bool)
        for level in (0, 255):
            image = np.full((source, source), 128, dtype=np.uint8)
            image[:, column] = level
            moved |= (np.asarray(Image.fromarray(image).resize((side, side), how)) != 128).any(axis=0)
        shared += bool(moved[: hidden[1].start].any() and moved[crop[1]].any())
    return shared


@pytest.mark.parametrize(
    ("source", "side", "how", "columns"),
    [
        (64, 224, Image.Resampling.BICUBIC, 0),
        (32, 224, Image.Resampling.BILINEAR, 0),
        (150, 64, Image.Resampling.BICUBIC, 0),
        (28, 28, Image.Resampling.BICUBIC, 0),
        (32, 224, Image.Resampling.BICUBIC, 2),
        (8, 224, Image.Resampling.BILINEAR, 1),
    ],
)
def test_the_gap_keeps_resampled_pixels_apart_in_images_that_are_not_small(
    source: int, side: int, how: Image.Resampling, columns: int
) -> None:
    assert smeared(source, side, how) == columns
