"""Every pixel operation against torchvision's on uint8, and what is drawn against what torchvision draws."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F  # noqa: N812

from sslaudit import augment
from sslaudit.encoder import Preprocess
from sslaudit.recipes import BUILTIN_RECIPES, Crop, Recipe, parse_recipe
from sslaudit.views import SLOTS, crop_boxes, make_views

NAMED = {spec.name: spec for spec in BUILTIN_RECIPES}
KINDS = ("photo", "flat", "extreme", "gray", "noise", "black", "white")
SIDES = [(224, 224), (97, 97), (32, 32), (20, 20), (8, 8), (33, 70)]
ORDERS = np.array(list(itertools.permutations(range(4))))


def recipe_of(text: str) -> Recipe:
    return parse_recipe(text, NAMED)


def picture(kind: str, size: tuple[int, int], seed: int = 0) -> Tensor:
    """(3, height, width) uint8."""
    rng = np.random.default_rng((seed, *size))
    if kind == "photo":
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC)).astype(int)
        pixels = np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255)
    else:
        pixels = {
            "flat": lambda: np.broadcast_to(rng.integers(0, 256, 3), (*size, 3)),
            "extreme": lambda: 255 * rng.integers(0, 2, (*size, 3)),
            "gray": lambda: np.broadcast_to(rng.integers(0, 256, (*size, 1)), (*size, 3)),
            "noise": lambda: rng.integers(0, 256, (*size, 3)),
            "black": lambda: np.zeros((*size, 3)),
            "white": lambda: np.full((*size, 3), 255),
        }[kind]()
    return torch.from_numpy(pixels.astype(np.uint8)).permute(2, 0, 1).contiguous()


def pictures(size: tuple[int, int]) -> Tensor:
    """One of each kind, (7, 3, height, width) uint8."""
    return torch.stack([picture(kind, size) for kind in KINDS])


def assert_same(ours: Tensor, reference: Tensor) -> None:
    """At most 2 grey levels apart anywhere, and half a level on average."""
    assert ours.shape == reference.shape
    difference = (ours.double() - reference.double()).abs()
    assert difference.max() <= 2
    assert difference.mean() <= 0.5


def changed(images: Tensor, change: Callable[..., None], *given: Any) -> Tensor:
    """Grey levels of ``images`` after one operation: whole numbers from 0 to 255."""
    levels = images.float()
    change(levels, *given)
    assert torch.equal(levels, levels.round().clamp(0, 255))
    return levels


@pytest.mark.parametrize(("side", "seed"), [(518, 2), (518, 13), (700, 5)])
@pytest.mark.parametrize("copies", [1, 16])
def test_contrast_goes_by_the_exact_mean_of_any_number_of_pixels(side: int, seed: int, copies: int) -> None:
    """A mean in float32 is here just below the whole number or not, by how many views and threads work."""
    draw = torch.Generator().manual_seed(seed)
    centre = int(torch.randint(180, 253, (1,), generator=draw))
    half = torch.randint(2 * centre - 255, 256, (side * side // 2,), generator=draw)
    pixels = torch.cat([half, 2 * centre - half])[torch.randperm(side * side, generator=draw)]
    images = pixels.view(side, side).expand(copies, 3, side, side)
    levels = changed(images, augment.adjust_contrast, np.zeros(copies))
    assert (levels == centre - 1).all()  # weights of luma whose sum is just below 1 take a level


@given(
    rows=st.sets(st.integers(0, 11)).map(lambda rows: np.array(sorted(rows), dtype=np.int64)),
    run=st.sampled_from([1, 12, 24, 2**17]),
)
@settings(deadline=None)
def test_rows_are_changed_by_their_own_numbers_where_they_are_or_in_a_copy(
    rows: np.ndarray, run: int
) -> None:
    levels = torch.arange(12 * 12.0).view(12, 3, 2, 2)
    each = np.random.default_rng(0).integers(1, 100, 12)
    expected = levels.clone()
    for row in rows:
        expected[row] += float(each[row])

    def change(views: Tensor, values: np.ndarray) -> None:
        views.add_(torch.from_numpy(values).view(-1, 1, 1, 1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment, "_RUN", run)
        augment.on_rows(levels, rows, change, each)
    assert torch.equal(levels, expected)


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("brightness", 0.0, 3.0), ("contrast", 0.0, 3.0), ("saturation", 0.0, 3.0), ("hue", -0.5, 0.5)],
)
def test_jitter_operation(size: tuple[int, int], name: str, low: float, high: float) -> None:
    images = pictures(size)
    adjust = getattr(F, f"adjust_{name}")
    for factor in np.linspace(low, high, 9):
        factors = np.full(len(images), factor)
        ours = changed(images, getattr(augment, f"adjust_{name}"), factors)
        assert_same(ours, torch.stack([adjust(x, float(factor)) for x in images]))


@given(
    factors=st.tuples(st.floats(0, 3), st.floats(0, 3), st.floats(0, 3), st.floats(-0.5, 0.5)),
    kind=st.sampled_from(KINDS),
    size=st.sampled_from([(8, 8), (20, 20), (31, 17)]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_each_operation_with_any_factor(
    factors: tuple[float, ...], kind: str, size: tuple[int, int], seed: int
) -> None:
    image = picture(kind, size, seed)
    for name, factor in zip(("brightness", "contrast", "saturation", "hue"), factors, strict=True):
        ours = changed(image[None], getattr(augment, f"adjust_{name}"), np.array([factor]))
        assert_same(ours[0], getattr(F, f"adjust_{name}")(image, factor))


@pytest.mark.parametrize("size", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_jitter_in_each_of_the_24_orders(size: tuple[int, int], kind: str) -> None:
    images = torch.stack([picture(kind, size, seed) for seed in range(24)])
    rng = np.random.default_rng(1)
    drawn = rng.uniform([0.2, 0.2, 0.2, -0.2], [1.8, 1.8, 1.8, 0.2], (24, 4))
    order = rng.permutation(ORDERS)
    ours = changed(images, lambda levels: augment.jitter(levels, *drawn.T, order=order))
    operations = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for view, image, row, turns in zip(ours, images, drawn, order, strict=True):
        for turn in turns:
            image = operations[turn](image, float(row[turn]))
        assert_same(view, image)


@pytest.mark.parametrize("size", SIDES)
def test_gray_and_solarize(size: tuple[int, int]) -> None:
    images = pictures(size)
    assert_same(changed(images, augment.gray), F.rgb_to_grayscale(images, num_output_channels=3))
    for threshold in (0, 1, 127.5, 128, 255):
        assert torch.equal(
            changed(images, augment.solarize, threshold), F.solarize(images, threshold).float()
        )


@pytest.mark.parametrize(
    ("size", "kernel"),
    [
        ((8, 8), 3),
        ((20, 20), 3),
        ((32, 32), 3),
        ((97, 97), 9),
        ((224, 224), 23),
        ((33, 70), 33),
        ((40, 225), 5),
    ],
)
def test_blur(size: tuple[int, int], kernel: int) -> None:
    images = pictures(size)
    sigmas = [0.01, 0.1, 0.3, 0.7, 1.3, 2.0, 30.0]
    ours = changed(images, augment.blur, np.array(sigmas), kernel)
    reference = [F.gaussian_blur(x, [kernel] * 2, [s] * 2) for x, s in zip(images, sigmas, strict=True)]
    assert_same(ours, torch.stack(reference))


@given(
    source=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(2, 40), st.integers(2, 40)),  # the uint8 kernel fails for one pixel
    part=st.tuples(*[st.floats(0, 1)] * 4),
    kind=st.sampled_from(KINDS),
    how=st.sampled_from(["bilinear", "bicubic"]),
)
@settings(max_examples=300, deadline=None)
def test_any_box_cropped_alone_and_as_matrices(
    source: tuple[int, int], size: tuple[int, int], part: tuple[float, ...], kind: str, how: Any
) -> None:
    image = picture(kind, source)
    height, width = (1 + round(p * (side - 1)) for p, side in zip(part, source, strict=False))
    top, left = round(part[2] * (source[0] - height)), round(part[3] * (source[1] - width))
    box = [top, left, height, width]
    reference = F.resized_crop(image, *box, size=list(size), interpolation=v2.InterpolationMode(how))
    pixels = image.permute(1, 2, 0)
    alone = torch.from_numpy(augment.resized_crop(pixels.numpy(), box, size, how)).permute(2, 0, 1)
    assert torch.equal(alone, reference)
    flipped = torch.tensor([[False, True]])
    both = augment.resized_crops(pixels[None], torch.tensor([[box, box]]), flipped, size, how)[0]
    for view, theirs in zip(both, (reference, reference.flip(-1)), strict=True):
        assert (view.int() - theirs.int()).abs().max() <= 2


@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "source", [(8, 8), (32, 48), (97, 60), (224, 224), (1, 1), (2, 3), (33, 500), (500, 33)]
)
@pytest.mark.parametrize("size", [(8, 8), (20, 20), (24, 24), (32, 32), (96, 96), (97, 97), (224, 160)])
def test_cropped_and_flipped_views(source: tuple[int, int], size: tuple[int, int], how: str) -> None:
    image, uniforms = picture("photo", source), np.random.default_rng(0).random((1, 6, SLOTS))
    recipe = recipe_of(f"crop(interpolation={how})+flip(p=1)")
    crop = recipe.distributions[0].crop
    assert crop is not None
    boxes = crop_boxes(uniforms[0], np.tile(source, (6, 1)), crop)
    mode = v2.InterpolationMode(how)
    reference = [
        F.horizontal_flip(F.resized_crop(image, *box, size=list(size), interpolation=mode))
        for box in boxes.tolist()
    ]
    pixels = image.permute(1, 2, 0).numpy()
    ours = make_views([pixels], uniforms, recipe, Preprocess(size=size), identity=False)[0]
    assert_same(ours, torch.stack(reference))


@pytest.mark.parametrize("source", [(64, 64), (100, 130), (40, 200), (300, 20), (3, 500), (2, 3)])
@pytest.mark.parametrize(("scale", "max_scale", "ratio"), [(0.08, 1.0, 0.75), (0.5, 1.0, 0.5)])
def test_boxes_are_distributed_alike(
    source: tuple[int, int], scale: float, max_scale: float, ratio: float
) -> None:
    n = 2000
    uniforms = np.random.default_rng(5).random((n, SLOTS))
    ours = crop_boxes(uniforms, np.tile(source, (n, 1)), Crop(scale=scale, max_scale=max_scale, ratio=ratio))
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(8, scale=(scale, max_scale), ratio=(ratio, 1 / ratio))
    image = torch.zeros(3, *source, dtype=torch.uint8)
    params = [transform.make_params([image]) for _ in range(n)]
    theirs = np.array([[p[name] for name in ("top", "left", "height", "width")] for p in params])
    compared = {
        "top": (ours[:, 0], theirs[:, 0]),
        "left": (ours[:, 1], theirs[:, 1]),
        "height": (ours[:, 2], theirs[:, 2]),
        "width": (ours[:, 3], theirs[:, 3]),
        "area": (ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3]),
        "aspect ratio": (ours[:, 3] / ours[:, 2], theirs[:, 3] / theirs[:, 2]),
    }
    for name, (a, b) in compared.items():
        assert stats.ks_2samp(a, b, method="asymp").pvalue > 1e-3, name
    assert np.all(ours[:, :2] >= 0)
    assert np.all(ours[:, 2:] >= 1)
    assert np.all(ours[:, :2] + ours[:, 2:] <= source)


def test_parameters_are_distributed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(augment, "jitter", lambda levels, **given: seen.update(given))
    monkeypatch.setattr(
        augment, "blur", lambda levels, sigma, kernel: seen.update(sigma=sigma, kernel=kernel)
    )
    monkeypatch.setattr(augment, "solarize", lambda levels, threshold: seen.update(solarized=len(levels)))
    monkeypatch.setattr(augment, "gray", lambda levels: seen.update(gray=len(levels)))
    monkeypatch.setattr("sslaudit.views._CPU_BLOCK", 2**30)
    monkeypatch.setattr(augment, "_RUN", 2**60)  # one call for all
    n = 4000
    recipe = recipe_of(
        "color(brightness=1.2,contrast=0.6,saturation=0.3,hue=0.4)+gray+blur(max-sigma=3)+solarize"
    )
    uniforms = np.random.default_rng(2).random((1, n, SLOTS))
    make_views([np.zeros((32, 32, 3), np.uint8)], uniforms, recipe, Preprocess(size=(32, 32)), identity=False)
    torch.manual_seed(1)
    jitter, blur = v2.ColorJitter(1.2, 0.6, 0.3, 0.4), v2.GaussianBlur(3, (0.1, 3.0))
    params = [jitter.make_params([]) for _ in range(n)]
    for name in ("brightness", "contrast", "saturation", "hue"):
        reference = [p[f"{name}_factor"] for p in params]
        assert stats.ks_2samp(seen[name], reference).pvalue > 1e-3, name
    sigmas = [blur.make_params([])["sigma"][0] for _ in range(n)]
    assert stats.ks_2samp(seen["sigma"], sigmas).pvalue > 1e-3
    assert seen["kernel"] == 3
    _, counts = np.unique(seen["order"], axis=0, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3
    for drawn, p in (
        (len(seen["order"]), 0.8),
        (len(seen["sigma"]), 0.5),
        (seen["gray"], 0.2),
        (seen["solarized"], 0.2),
    ):
        assert stats.binomtest(drawn, n, p).pvalue > 1e-3
