"""Views: the draws, the identity view, and what views may depend on."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from timm.data import create_transform
from torch import Tensor

from sslaudit.encoder import Interpolation, Preprocess
from sslaudit.recipes import BUILTIN_RECIPES, Crop, Recipe, parse_recipe
from sslaudit.views import CROP_TRIES, ORDERS, SLOTS, Slot, crop_boxes, draw, identity_view, make_views

NEVER = 1 - 2**-53
"""The largest number that is drawn: above every probability below 1."""


def recipe_of(text: str) -> Recipe:
    return parse_recipe(text, {spec.name: spec for spec in BUILTIN_RECIPES})


def square(size: int) -> Preprocess:
    return Preprocess(size=(size, size))


def picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Smooth colours with noise, (height, width, 3) uint8."""
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def assert_same(ours: Tensor, reference: Tensor) -> None:
    """At most 2 grey levels apart anywhere, and half a level on average."""
    assert ours.shape == reference.shape
    difference = (ours.double() - reference.double()).abs()
    assert difference.max() <= 2
    assert difference.mean() <= 0.5


def test_box_falls_back_to_the_centre() -> None:
    uniforms = np.full((3, SLOTS), 0.999)
    boxes = crop_boxes(
        uniforms,
        np.array([[10, 100], [100, 10], [30, 30]]),
        Crop(scale=1.0, max_scale=1.0, ratio=0.75),
    )
    assert boxes.tolist() == [[0, 43, 10, 13], [43, 0, 13, 10], [0, 0, 30, 30]]


def test_box_takes_the_first_try_that_fits() -> None:
    uniforms = np.full((1, SLOTS), 0.5)
    uniforms[0, Slot.CROP_AREA] = NEVER  # the whole area at ratio 4/3 is wider than the image
    uniforms[0, Slot.CROP_RATIO : Slot.CROP_RATIO + CROP_TRIES] = NEVER
    uniforms[0, Slot.CROP_AREA + 1] = 0.0
    box = crop_boxes(uniforms, np.array([[100, 100]]), Crop(scale=0.12, max_scale=1.0, ratio=0.75))
    assert box.tolist() == [[35, 30, 30, 40]]


@pytest.mark.parametrize(
    "source", [(8, 8), (32, 32), (100, 67), (67, 100), (300, 301), (33, 500), (2, 3), (1, 1)]
)
@pytest.mark.parametrize("size", [(8, 8), (32, 32), (224, 224), (225, 225), (96, 64), (50, 131)])
@pytest.mark.parametrize(
    ("crop", "interpolation"), [(1.0, "bilinear"), (0.875, "bicubic"), (0.9, "bilinear"), (0.95, "lanczos")]
)
def test_identity_view_equals_timm(
    source: tuple[int, int], size: tuple[int, int], crop: float, interpolation: Interpolation
) -> None:
    image = picture(np.random.default_rng(0), *source)
    preprocess = Preprocess(size=size, crop=crop, interpolation=interpolation)
    transform = create_transform(
        input_size=(3, *size), crop_pct=crop, interpolation=interpolation, is_training=False, normalize=False
    )
    reference = transform(Image.fromarray(image)).permute(1, 2, 0).numpy()
    assert np.array_equal(identity_view(image, preprocess), reference)


def test_draws_depend_on_seed_and_image_alone() -> None:
    digests = ["a", "b", "c"]
    all_views = draw(7, digests, 5)
    assert all_views.shape == (3, 5, SLOTS)
    assert all_views.dtype == np.float64
    assert np.all((all_views >= 0) & (all_views < 1))
    assert np.array_equal(draw(7, ["c", "a"], 5), all_views[[2, 0]])
    assert np.array_equal(draw(7, digests, 2), all_views[:, :2])
    assert len(np.unique(all_views)) == all_views.size
    assert not np.isin(draw(8, digests, 5), all_views).any()
    assert draw(7, [], 5).shape == (0, 5, SLOTS)


def test_bank_gives_every_image_the_same_draws() -> None:
    bank = draw(7, ["a", "b"], 4, mode="bank")
    assert np.array_equal(bank[0], bank[1])
    assert np.array_equal(draw(7, ["z"], 3, mode="bank")[0], bank[0, :3])
    assert not np.array_equal(bank[0], draw(7, ["a"], 4)[0])


def test_draws_are_those_of_version_1() -> None:
    """Other numbers need a new ``recipes.VERSION``, or caches mix old views with new ones."""
    first = draw(0, ["e3b0c44298fc1c14"], 2)[0, :, 0]
    assert first.tolist() == [0.017810111950267826, 0.11668125146161823]
    assert ORDERS[1].tolist() == [0, 1, 3, 2]
    assert list(Slot) == [0, 10, *range(20, 33)]


def test_draws_are_uniform() -> None:
    u = draw(3, [str(i) for i in range(100)], 10).ravel()
    assert stats.kstest(u, "uniform").pvalue > 1e-3


def sample(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [picture(rng, *size) for size in ((40, 50), (64, 64), (200, 150), (40, 50))]


@pytest.mark.parametrize("size", [8, 48, 130])
def test_view_0_is_the_identity_view(size: int) -> None:
    images, u = sample(), draw(0, list("abcd"), 3)
    views = make_views(images, u, recipe_of("simclr"), square(size))
    assert views.shape == (4, 3, 3, size, size)
    assert views.dtype == torch.uint8
    for image, view in zip(images, views[:, 0], strict=True):
        assert np.array_equal(view.permute(1, 2, 0), identity_view(image, square(size)))
    drawn = make_views(images, u[:, 1:], recipe_of("simclr"), square(size), identity=False)
    assert_same(views[:, 1:].flatten(0, 1), drawn.flatten(0, 1))


def test_none_repeats_the_identity_view() -> None:
    views = make_views(sample(), draw(0, list("abcd"), 3), recipe_of("none"), square(32), identity=False)
    assert torch.equal(views, views[:, :1].expand_as(views))
    assert np.array_equal(views[2, 2].permute(1, 2, 0), identity_view(sample()[2], square(32)))


@pytest.mark.parametrize("size", [24, 64, 130])
def test_views_depend_on_no_other_image(size: int) -> None:
    images, u = sample(), draw(0, list("abcd"), 6)
    together = make_views(images, u, recipe_of("simclr"), square(size))
    for i, image in enumerate(images):
        alone = make_views([image], u[i : i + 1], recipe_of("simclr"), square(size))
        difference = (alone[0].int() - together[i].int()).abs()
        # A matrix product of another shape may round a tie the other way.
        assert difference.max() <= 1
        assert (difference > 0).double().mean() < 1e-3
        fewer = make_views([image], u[i : i + 1, :3], recipe_of("simclr"), square(size))
        assert (fewer[0].int() - alone[0, :3].int()).abs().max() <= 1


@pytest.mark.parametrize(
    "text", ["flip(p=0.5)", "color", "gray(p=0.5)", "blur(min-sigma=1)", "solarize(p=0.5,threshold=1)"]
)
def test_a_view_for_which_nothing_is_drawn_is_untouched(text: str) -> None:
    slots = {"f": Slot.FLIP, "c": Slot.COLOR, "g": Slot.GRAY, "b": Slot.BLUR, "s": Slot.SOLARIZE}
    slot = slots[text[0]]
    u = draw(0, list("abcd"), 40)
    crops = make_views(sample(), u, recipe_of("crop"), square(40), identity=False)
    views = make_views(sample(), u, recipe_of(f"crop+{text}"), square(40), identity=False)
    changed = (views != crops).flatten(2).any(dim=2).numpy()
    p = 0.8 if text == "color" else 0.5
    assert np.array_equal(changed, u[:, :, slot] < p)


def test_the_same_crop_under_every_recipe() -> None:
    u = draw(0, list("abcd"), 3)
    crops = make_views(sample(), u, recipe_of("crop"), square(64))
    u[:, :, [Slot.FLIP, Slot.COLOR, Slot.GRAY, Slot.BLUR]] = NEVER
    assert torch.equal(make_views(sample(), u, recipe_of("simclr"), square(64)), crops)


def test_probabilities_0_and_1_are_certain() -> None:
    u = draw(0, list("abcd"), 3)
    still = make_views(sample(), u, recipe_of("none"), square(40))
    never = recipe_of("flip(p=0)+color(p=0)+gray(p=0)+blur(p=0)")
    assert torch.equal(make_views(sample(), u, never, square(40)), still)
    u[:] = NEVER
    flipped = make_views(sample(), u, recipe_of("flip(p=1)"), square(40), identity=False)
    assert torch.equal(flipped, still.flip(-1))


def test_jitter_without_strength_changes_nothing() -> None:
    u = draw(0, list("abcd"), 8)
    still = make_views(sample(), u, recipe_of("none"), square(40))
    assert torch.equal(make_views(sample(), u, recipe_of("color(strength=0,p=1)"), square(40)), still)


def test_blur_is_left_out_below_32_px() -> None:
    u = draw(0, list("abcd"), 4)
    for size, same in ((31, True), (32, False)):
        blurred = make_views(sample(), u, recipe_of("crop+blur(p=1)"), square(size), identity=False)
        crops = make_views(sample(), u, recipe_of("crop"), square(size), identity=False)
        assert torch.equal(blurred, crops) is same


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (20, 20), (24, 24), (32, 32), (33, 47), (96, 96), (97, 97)])
def test_no_size_is_refused(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    images = [picture(rng, *source) for source in ((1, 1), (2, 3), (33, 500), (500, 33), (1, 90), (31, 17))]
    images[0].flags.writeable = False
    images[1] = images[1][::-1, ::-1]
    every = "color(strength=2.5,p=1)+gray(p=1)+blur(p=1,kernel=1)+flip+solarize(p=1)"
    for text in ("simclr", "dino-global", every):
        views = make_views(images, rng.random((6, 5, SLOTS)), recipe_of(text), Preprocess(size=size))
        assert views.shape == (6, 5, 3, *size)
        if text == "dino-global":  # one pixel has one colour, however it is cut
            assert torch.equal(views[0], views[0, :, :, :1, :1].expand_as(views[0]))


def asymmetric(text: str = "crop+blur(p=1,min-sigma=1)|crop(scale=0.5)+solarize(p=1)") -> Recipe:
    recipe = recipe_of(text)
    assert len(recipe.distributions) == 2
    return recipe


@pytest.mark.parametrize("size", [48, 220])
def test_views_take_two_distributions_in_turn(size: int) -> None:
    u = draw(3, list("abcd"), 6)
    views = make_views(sample(), u, asymmetric(), square(size))
    odd, even = (make_views(sample(), u, recipe_of(t), square(size)) for t in asymmetric().text.split("|"))
    assert torch.equal(views[:, 0], odd[:, 0])
    for i in range(1, 6):
        same, other = (odd, even) if i % 2 else (even, odd)
        # A matrix product of another shape may round a tie the other way.
        assert (views[:, i].int() - same[:, i].int()).abs().max() <= 1
        assert (views[:, i].int() - other[:, i].int()).abs().max() > 50
    fewer = make_views(sample(), u[:, :3], asymmetric(), square(size))
    assert (fewer.int() - views[:, :3].int()).abs().max() <= 1


def test_a_pair_without_identity_view_has_one_view_of_each_distribution() -> None:
    """What a trainer asks for: its two views are drawn from the first and from the second."""
    u = draw(3, list("abcd"), 3)
    pair = make_views(sample(), u[:, 1:], asymmetric(), square(48), identity=False)
    assert (pair.int() - make_views(sample(), u, asymmetric(), square(48))[:, 1:].int()).abs().max() <= 1


def test_a_distribution_may_start_from_the_identity_view() -> None:
    u = draw(0, list("abcd"), 5)
    recipe = asymmetric("crop|flip(p=1)")
    views = make_views(sample(), u, recipe, square(40))
    still = make_views(sample(), u, recipe_of("none"), square(40))
    assert torch.equal(views[:, 2::2], still[:, 2::2].flip(-1))
    assert torch.equal(views[:, 1::2], make_views(sample(), u, recipe_of("crop"), square(40))[:, 1::2])


@pytest.mark.parametrize("size", [32, 130, 220])
def test_threads_change_nothing(size: int) -> None:
    u, before = draw(0, list("abcd"), 6), torch.get_num_threads()
    try:
        made = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            made.append(make_views(sample(), u, recipe_of("byol"), square(size)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*made)


def test_large_views_are_equal_to_the_byte_in_any_company() -> None:
    images, u = sample(), draw(0, list("abcd"), 3)
    together = make_views(images, u, recipe_of("barlow-twins"), square(220))
    for i in (3, 1):
        alone = make_views([images[i]], u[[i]], recipe_of("barlow-twins"), square(220))
        assert torch.equal(alone[0], together[i])


def test_boxes_do_not_depend_on_the_input_size() -> None:
    """Encoders of other input sizes see the same boxes: a view is the other one, resized."""
    u = draw(0, list("abcd"), 4)
    large, small = (make_views(sample(), u, recipe_of("crop+flip"), square(s)).float() for s in (128, 32))
    reduced = torch.nn.functional.avg_pool2d(large.flatten(0, 1), 4).view_as(small)
    assert (reduced - small)[:, 1:].abs().mean() < 5
    assert (reduced - small.roll(1, 1))[:, 2:].abs().mean() > 15


def test_a_bank_cuts_all_images_of_a_size_alike() -> None:
    bank = draw(5, list("abcd"), 4, mode="bank")
    crop = recipe_of("crop").distributions[0].crop
    assert crop is not None
    boxes = [crop_boxes(rows, np.tile((40, 50), (4, 1)), crop) for rows in bank]
    assert all(np.array_equal(box, boxes[0]) for box in boxes)


def test_numbers_must_fit_the_images() -> None:
    for shape in ((3, 2, SLOTS), (4, 2, SLOTS - 1)):
        with pytest.raises(ValueError, match="must be \\(4, V, 40\\)"):
            make_views(sample(), np.zeros(shape), recipe_of("crop"), square(8))
    assert make_views([], np.zeros((0, 2, SLOTS)), recipe_of("simclr"), square(8)).shape == (0, 2, 3, 8, 8)
    only = make_views(sample(), np.zeros((4, 1, SLOTS)), recipe_of("simclr"), square(8))
    assert only.shape == (4, 1, 3, 8, 8)


@pytest.mark.gpu
def test_a_gpu_makes_the_same_views() -> None:
    u = draw(0, list("abcd"), 16)
    for size in (24, 130):
        cpu = make_views(sample(), u, recipe_of("simclr"), square(size)).float()
        gpu = make_views(sample(), u, recipe_of("simclr"), square(size), device="cuda").cpu().float()
        # Hue magnifies a difference of one grey level of the crop where colours are nearly gray.
        assert (cpu - gpu).abs().mean() <= 0.5
