"""Pretext targets of images: what x and z are, by references of their own, and the pairs they give."""

import hashlib
import itertools
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn
from PIL import Image, ImageCms, features
from torch import Tensor, nn

from sslaudit.data import Dataset, subset
from sslaudit.encoder import Preprocess, from_module
from sslaudit.errors import UsageError
from sslaudit.extraction import AlteredImages, Embedder, Extraction
from sslaudit.loading import load_dataset
from sslaudit.pretext import PretextPairs, pairs, parse_targets
from sslaudit.pretext.alterations import enlarged, gray, grid, quarter_turns, turned
from sslaudit.pretext.color import BINS, cielab, color_histograms
from sslaudit.pretext.describe import indicators, principal, shares, varying
from sslaudit.pretext.options import DEFAULT_CROP
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe

ALL = "disjoint-crop+patch+rotation+color"


class Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).round()


def images_of(pixels: np.ndarray, cache: Path, network: nn.Module | None = None) -> AlteredImages:
    """``pixels`` (n, H, W, 3) as the images of an encoder that gives them as they are."""
    data = Dataset.build(
        ref="made",
        read=lambda i: pixels[i],
        digests=[hashlib.sha256(image.tobytes()).hexdigest() for image in pixels],
        class_names=None,
    )
    return altered_of(data, pixels.shape[1:3], cache, network)


def altered_of(
    data: Dataset, size: tuple[int, int], cache: Path, network: nn.Module | None = None
) -> AlteredImages:
    look = Preprocess(size=size, mean=(0.0,) * 3, std=(1 / 255,) * 3, source="given")
    recipe = parse_recipe("none", {spec.name: spec for spec in BUILTIN_RECIPES})
    how = Extraction(recipe=recipe, views=1, seed=0, batch_size=64)
    return AlteredImages(Embedder(from_module(network or Pixels(), preprocess=look), how), data, cache=cache)


def noise(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def one(z: str, altered: AlteredImages, n: int, **options: str) -> PretextPairs:
    (target,) = parse_targets(z, **options)
    return pairs(target, altered, range(n))


def reference_pca(rows: np.ndarray, k: int) -> np.ndarray:
    """By the singular vectors of the centred rows, the largest loading of each positive."""
    centred = rows - rows.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:k]
    signs = np.array([np.sign(axis[np.abs(axis).argmax()]) for axis in axes])
    return centred @ (axes * signs[:, None]).T


def test_pixels_of_the_crop_from_the_rest(tmp_path: Path) -> None:
    pixels = noise(60, 8, 8)
    found = one("disjoint-crop", images_of(pixels, tmp_path), 60)
    planes = pixels.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found.z, reference_pca(planes[..., 4:].reshape(60, -1), 6), rtol=1e-9)
    seen = planes.astype(np.float64)
    seen[..., 3:] = np.floor(planes[..., :3].mean(axis=(2, 3)) + 0.5)[..., None, None]
    np.testing.assert_array_equal(found.f, seen.reshape(60, -1))
    np.testing.assert_allclose(found.floor, reference_pca(seen.reshape(60, -1), 6), rtol=1e-9)
    assert found.f.dtype == np.float32
    assert found.z.dtype == found.floor.dtype == np.float64
    assert found.labels is None
    assert not found.categories


def test_boxes_of_the_user(tmp_path: Path) -> None:
    pixels = noise(30, 16, 16)
    found = one("disjoint-crop", images_of(pixels, tmp_path), 30, crop="0:0:0.5:0.5", seen="0.5:0:1:1")
    planes = pixels.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found.z, reference_pca(planes[..., :8, :8].reshape(30, -1), 3), rtol=1e-9)
    seen = found.f.reshape(30, 3, 16, 16)
    np.testing.assert_array_equal(seen[..., 9:], planes[..., 9:])
    np.testing.assert_array_equal(seen[..., 9:, 8], planes[..., 9:, 8])
    assert (seen[..., :9, 8] == seen[..., :1, 0]).all(), "a gap of a pixel beside the crop"


def test_the_patch_is_the_centre_and_large_ones_are_averaged(tmp_path: Path) -> None:
    pixels = noise(40, 64, 64)
    found = one("patch", images_of(pixels, tmp_path), 40)
    centre = pixels.transpose(0, 3, 1, 2)[..., 16:48, 16:48]
    averaged = np.rint(centre.reshape(40, 3, 16, 2, 16, 2).mean(axis=(3, 5)))
    np.testing.assert_allclose(found.z, reference_pca(averaged.reshape(40, -1), 4), rtol=1e-9)
    seen = found.f.reshape(40, 3, 64, 64)
    assert (seen[..., 12:52, 12:52] == seen[..., 12:13, 12:13]).all()
    np.testing.assert_array_equal(seen[..., :12, :], pixels.transpose(0, 3, 1, 2)[..., :12, :])


def test_the_embedding_of_the_crop(tmp_path: Path) -> None:
    pixels = noise(50, 24, 24)
    found = one("disjoint-crop", images_of(pixels, tmp_path), 50, describe="embedding")
    assert found.target.z is not None
    crops = enlarged(DEFAULT_CROP).apply(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), []).numpy()
    for image, crop in zip(pixels, crops.astype(int), strict=True):
        expected = np.asarray(Image.fromarray(image[:, 12:]).resize((24, 24), Image.Resampling.BILINEAR))
        assert np.abs(crop.transpose(1, 2, 0) - expected).max() <= 1
    np.testing.assert_allclose(found.z, reference_pca(crops.reshape(50, -1), 5), rtol=1e-9)


def test_rotation_turns_each_image_by_its_own_hash(tmp_path: Path) -> None:
    pixels = noise(200, 6, 6)
    altered = images_of(pixels, tmp_path)
    (target,) = parse_targets("rotation", seed=5)
    found = pairs(target, altered, range(200))
    assert found.categories
    assert target.x is not None
    turns = quarter_turns(target.x.key, altered.digests(range(200)))
    for image, turn, f, z in zip(pixels, turns, found.f, found.z, strict=True):
        np.testing.assert_array_equal(np.rot90(image, turn).transpose(2, 0, 1).ravel(), f)
        np.testing.assert_array_equal(z, np.eye(4)[turn][:3])
    assert np.bincount(turns).min() > 30
    some = pairs(target, altered, [150, 3, 77])
    np.testing.assert_array_equal(some.f, found.f[[150, 3, 77]])
    (other,) = parse_targets("rotation", seed=6)
    assert (pairs(other, altered, range(200)).z != found.z).any()


def test_turned_views_must_be_square(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="views of 9 x 13 px cannot be turned by 90 degrees"):
        one("rotation", images_of(noise(4, 9, 13), tmp_path), 4)
    assert turned(1).key != turned(2).key


def test_gray_is_that_of_a_recipe(tmp_path: Path) -> None:
    pixels = noise(20, 8, 8)
    found = one("color", images_of(pixels, tmp_path), 20).f.reshape(20, 3, 8, 8)
    luma = np.floor(pixels.astype(np.float32) @ np.array([0.2989, 0.587, 0.114], dtype=np.float32))
    assert (found == found[:, :1]).all()
    assert np.abs(found[:, 0] - luma).max() <= 1, "sums in float32"
    assert (found[:, 0] == luma).mean() > 0.99
    plain = torch.full((1, 3, 4, 4), 77, dtype=torch.uint8)
    assert (gray().apply(plain, ["a"]).float() - 77).abs().max() <= 1


def reference_lab(red: int, green: int, blue: int) -> tuple[float, float, float]:
    """CIE 1976 in plain Python, for the primaries and white of sRGB."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (red / 255, green / 255, blue / 255)
    ]
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    roots = []
    for row, white in zip(to_xyz, (0.95047, 1.0, 1.08883), strict=True):
        t = sum(weight * c for weight, c in zip(row, linear, strict=True)) / white
        roots.append(t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116)
    x, y, z = roots
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((255, 255, 0), (97.14, -21.55, 94.48)),
        ((0, 255, 255), (91.11, -48.09, -14.13)),
        ((255, 0, 255), (60.32, 98.23, -60.82)),
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_colours_of_known_lab(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert cielab(np.array(rgb, dtype=np.uint8)) == pytest.approx(lab, abs=0.01)


@settings(max_examples=50, deadline=None)
@given(drawn(np.uint8, (5, 3)))
def test_any_colour_has_the_lab_of_the_reference(colours: np.ndarray) -> None:
    expected = np.array([reference_lab(*map(int, colour)) for colour in colours])
    np.testing.assert_allclose(cielab(colours), expected, atol=2e-4)


@pytest.mark.skipif(not features.check("littlecms2"), reason="Pillow is built without Little CMS")
def test_lab_agrees_with_littlecms() -> None:
    """Little CMS gives Lab for white D50; Bradford's matrix takes ours there."""
    colours = np.array(list(itertools.product(range(0, 256, 51), repeat=3)), dtype=np.uint8)[None]
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    theirs = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))[0].astype(float)
    theirs = np.column_stack([theirs[:, 0] / 2.55, (theirs[:, 1:] + 128) % 256 - 128])
    L, a, b = cielab(colours[0]).astype(float).T
    y = (L + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200])
    xyz = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * 3 * (6 / 29) ** 2)
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d65, d50 = np.array([0.95047, 1, 1.08883]), np.array([0.9642, 1, 0.8249])
    bradford = np.linalg.inv(cone) @ np.diag((cone @ d50) / (cone @ d65)) @ cone
    t = (bradford @ (xyz * d65[:, None])) / d50[:, None]
    fx, fy, fz = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    ours = np.column_stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])
    assert np.abs(ours - theirs).max() < 1.0, "Little CMS rounds to whole numbers"
    assert np.abs(ours - theirs).mean() < 0.35


def test_histograms_count_every_pixel_in_its_square() -> None:
    images = noise(6, 9, 7).transpose(0, 3, 1, 2)
    expected = np.zeros((6, 10, 11))
    for i, image in enumerate(images):
        for red, green, blue in image.reshape(3, -1).T:
            _, a, b = reference_lab(int(red), int(green), int(blue))
            expected[i, int((a + 90) // 20), int((b + 110) // 20)] += 1 / 63
    np.testing.assert_allclose(color_histograms(images), expected.reshape(6, BINS), atol=1e-12)


def test_the_squares_cover_all_colours_and_gray_is_in_the_middle_of_one() -> None:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    _, a, b = cielab(cube).T
    assert -90 < a.min() < a.max() < 110
    assert -110 < b.min() < b.max() < 110
    grays = np.repeat(np.arange(256, dtype=np.uint8)[None, None, None], 3, axis=1)
    share = color_histograms(grays)[0].reshape(10, 11)
    assert share[4, 5] == 1.0


def test_color_is_the_histogram_without_constant_columns_and_the_last(tmp_path: Path) -> None:
    pixels = noise(40, 8, 8)
    found = one("color", images_of(pixels, tmp_path), 40)
    counted = color_histograms(pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(found.z, counted[:, counted.std(axis=0) > 0][:, :-1])
    assert np.linalg.matrix_rank(np.column_stack([found.z, np.ones(40)])) == min(40, found.z.shape[1] + 1)
    grays = np.repeat(noise(40, 8, 8)[..., :1], 3, axis=-1)
    assert one("color", images_of(grays, tmp_path), 40).z.shape == (40, 0), "no colours, nothing to predict"


def test_a_grid_takes_pixels_as_they_are() -> None:
    pixels = torch.from_numpy(noise(2, 130, 64).transpose(0, 3, 1, 2).copy())
    assert torch.equal(grid().apply(pixels, ["a", "b"]), pixels[..., 1::3, :])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 90), st.integers(0, 5))
def test_components_are_those_of_the_singular_vectors(n: int, d: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(2, 1, (n, d)) * np.linspace(1, 3, d)
    k = max(1, min(64, n // 10))
    expected = reference_pca(rows, min(k, n - 1, d)) if n > 1 else np.empty((1, 0))
    np.testing.assert_allclose(principal(rows), expected, atol=1e-7)


@pytest.mark.parametrize("exact", [2048, 15])
@pytest.mark.parametrize("shape", [(100, 1500), (100, 20)], ids=str)
def test_rows_of_low_rank_have_no_components_of_rounding_errors(
    shape: tuple[int, int], exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sslaudit.pretext.describe._EXACT", exact)
    rng = np.random.default_rng(0)
    low = rng.normal(size=(shape[0], 3)) @ rng.normal(size=(3, shape[1]))
    found = principal(low)
    assert found.shape == (shape[0], 3)
    expected = (low - low.mean(axis=0)) @ (low - low.mean(axis=0)).T
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_array_equal(found, principal(low))


def test_components_are_at_most_64_and_none_of_constant_rows() -> None:
    rng = np.random.default_rng(0)
    assert principal(rng.normal(size=(1000, 100))).shape == (1000, 64)
    assert principal(np.full((30, 4), 0.1, dtype=np.float32)).shape == (30, 0)
    with pytest.raises(ValueError, match="not all finite"):
        principal(np.array([[1.0], [np.nan]]))


def test_columns_that_say_nothing_are_left_out() -> None:
    columns = np.array([[0.2, 0.5, 0.3], [0.2, 0.1, 0.7]])
    np.testing.assert_array_equal(varying(columns), columns[:, 1:])
    np.testing.assert_array_equal(shares(columns), columns[:, 1:2])
    np.testing.assert_array_equal(indicators([3, 0, 3, 1]), [[0, 0], [1, 0], [0, 0], [0, 1]])
    assert indicators([2, 2]).shape == (2, 0)
    assert varying(np.empty((3, 0))).shape == (3, 0)


def test_constant_images_leave_z_and_floor_without_columns(tmp_path: Path) -> None:
    altered = images_of(np.full((12, 8, 8, 3), 90, dtype=np.uint8), tmp_path)
    for target in parse_targets("disjoint-crop+patch+color"):
        found = pairs(target, altered, range(12))
        assert found.z.shape == found.floor.shape == (12, 0)


def test_targets_have_a_name_a_version_and_words() -> None:
    targets = parse_targets("rotation+color+disjoint-crop", crop="0:0:0.5:1", seed=2)
    assert [target.name for target in targets] == ["rotation", "color", "disjoint-crop"]
    assert [target.categories for target in targets] == [True, False, False]
    assert all(target.version >= 1 for target in targets)
    assert str(targets[2]) == "disjoint-crop (pixels of the crop 0:0:0.5:1, from the rest)"
    assert targets == parse_targets("rotation+color+disjoint-crop", crop="0:0:0.5:1", seed=2)
    for wrong in ("colour", "color+color", "next-sentence"):
        with pytest.raises(UsageError):
            parse_targets(wrong)


def test_no_images_and_embeddings_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1) * float("nan")

    altered = images_of(noise(20, 8, 8), tmp_path, Broken())
    (target,) = parse_targets("patch", describe="embedding")
    with pytest.raises(ValueError, match="one image or more"):
        pairs(target, altered, [])
    with pytest.raises(ValueError, match="not all finite"):
        pairs(target, altered, range(20))


def test_real_digits_in_any_order_give_the_same_bytes_again(tmp_path: Path) -> None:
    data = subset(load_dataset("digits"), max_images=200)
    for target in parse_targets(ALL):
        first, again = (pairs(target, altered_of(data, (8, 8), tmp_path / c), range(200)) for c in "ab")
        for name in ("f", "z", "floor"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert len(first.f) == len(first.z) == len(first.floor) == 200


@pytest.mark.slow
def test_five_thousand_images_take_seconds(tmp_path: Path) -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean(dim=(2, 3))

    altered = images_of(noise(5000, 64, 64), tmp_path, Mean())
    for target in parse_targets(ALL):
        start = time.perf_counter()
        pairs(target, altered, range(5000))
        assert time.perf_counter() - start < 15, target.name


def test_pairs_are_made_once_for_all_who_ask(tmp_path: Path) -> None:
    altered = images_of(noise(30, 8, 8), tmp_path)
    (target,) = parse_targets("disjoint-crop")
    (again,) = parse_targets("disjoint-crop")
    (other,) = parse_targets("disjoint-crop", crop="0:0:.5:1")
    found = pairs(target, altered, range(30))
    assert pairs(again, altered, np.arange(30)) is found
    assert pairs(other, altered, range(30)) is not found
    assert len(pairs(target, altered, range(20)).f) == 20
