"""Images that are altered before the encoder sees them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sslaudit import MetricInputs, MetricSpec, Needs
from sslaudit.data import Dataset, only, subset
from sslaudit.encoder import Preprocess, from_module
from sslaudit.errors import MetricError
from sslaudit.extraction import Alteration, AlteredImages, Embedder, Extraction, PixelViews
from sslaudit.loading import load_dataset
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe
from sslaudit.results import Estimate

SMALL = Preprocess(size=(8, 8), mean=(0.5,) * 3, std=(0.5,) * 3, source="given")


class Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(load_dataset("digits"), max_images=300)


def how() -> Extraction:
    recipe = parse_recipe("simclr", {spec.name: spec for spec in BUILTIN_RECIPES})
    return Extraction(recipe=recipe, views=3, seed=0, batch_size=64)


@pytest.fixture
def altered(digits: Dataset, tmp_path: Path) -> AlteredImages:
    encoder = from_module(Pixels(), preprocess=SMALL)
    return AlteredImages(Embedder(encoder, how()), digits, cache=tmp_path)


def identity(data: Dataset, images: Sequence[int]) -> Tensor:
    views = PixelViews(data, how(), SMALL)
    return torch.cat([views.of([i])[:, 0] for i in images])


def negative(pixels: Tensor, digests: Sequence[str]) -> Tensor:
    return 255 - pixels


def marked(pixels: Tensor, digests: Sequence[str]) -> Tensor:
    """The first pixel says whose digest came with the image."""
    made = pixels.clone()
    made[:, :, 0, 0] = torch.tensor([int(digest[:2], 16) for digest in digests], dtype=torch.uint8)[:, None]
    return made


def test_the_encoder_sees_the_altered_identity_view(digits: Dataset, altered: AlteredImages) -> None:
    images = [7, 3, 290, 12]
    seen = altered.embedded(Alteration("negative", negative), images)
    wanted = SMALL.normalise(255 - identity(digits, images)).flatten(1)
    np.testing.assert_allclose(seen, wanted.numpy(), atol=1e-6)


def test_without_an_alteration_it_is_the_plain_image(digits: Dataset, altered: AlteredImages) -> None:
    wanted = SMALL.normalise(identity(digits, range(20))).flatten(1)
    np.testing.assert_allclose(altered.embedded(None, np.arange(20)), wanted.numpy(), atol=1e-6)


def test_each_image_comes_with_its_own_digest(digits: Dataset, altered: AlteredImages) -> None:
    images = np.random.default_rng(0).permutation(300)[:280]
    digests = altered.digests(images)
    assert digests == [digits.digests[i] for i in images]
    wanted = [int(digest[:2], 16) for digest in digests]
    assert altered.pixels(Alteration("marked", marked), images)[:, 0, 0, 0].tolist() == wanted
    seen = altered.embedded(Alteration("marked", marked), images)[:, 0]
    np.testing.assert_allclose(seen, (np.array(wanted) / 255 - 0.5) / 0.5, atol=1e-6)


def test_embeddings_are_kept_by_key_and_by_images(altered: AlteredImages) -> None:
    calls = []

    def counted(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        calls.append(len(digests))
        return 255 - pixels

    first = altered.embedded(Alteration("counted v1", counted), range(30))
    assert sum(calls) == 30
    again = altered.embedded(Alteration("counted v1", counted), range(30))
    assert sum(calls) == 30
    np.testing.assert_array_equal(first, again)
    altered.embedded(Alteration("counted v2", counted), range(30))
    altered.embedded(Alteration("counted v1", counted), range(29))
    assert sum(calls) == 89


def test_pixels_may_have_a_size_of_their_own_and_are_made_once(altered: AlteredImages) -> None:
    calls = []

    def corner(pixels: Tensor, digests: Sequence[str]) -> Tensor:
        calls.append(len(digests))
        return pixels[:, :, :2, :3]

    made = altered.pixels(Alteration("corner", corner), range(40))
    assert made.shape == (40, 3, 2, 3)
    assert made.dtype == np.uint8
    assert altered.pixels(Alteration("corner", corner), range(40)) is made
    assert sum(calls) == 40


def test_images_are_decoded_once_for_alterations_that_are_named_together(
    digits: Dataset, tmp_path: Path
) -> None:
    reads = []

    def read(i: int) -> np.ndarray:
        reads.append(i)
        return digits.read(i)

    watched = replace(digits, read=read)
    altered = AlteredImages(Embedder(from_module(Pixels(), preprocess=SMALL), how()), watched, cache=tmp_path)
    first, second = Alteration("negative", negative), Alteration("marked", marked)
    images = [5, 9, 100]
    made = altered.pixels(first, images, also=[second, first])  # the same once more is made once
    beside = altered.pixels(second, images)
    assert reads == images
    np.testing.assert_array_equal(made, 255 - identity(digits, images).numpy())
    np.testing.assert_array_equal(beside, marked(identity(digits, images), altered.digests(images)).numpy())


def test_making_pixels_tells_how_far_it_is(digits: Dataset, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    embedder = Embedder(from_module(Pixels(), preprocess=SMALL), how())
    altered = AlteredImages(
        *(embedder, digits), cache=tmp_path, on_progress=lambda stand: heard.append((stand.done, stand.total))
    )
    altered.pixels(Alteration("negative", negative), range(300))
    assert (heard[0], heard[-1]) == ((0, 300), (300, 300))
    assert heard == sorted(heard)
    told = len(heard)
    altered.pixels(Alteration("negative", negative), range(300))
    assert len(heard) == told, "made before"


def test_an_alteration_is_part_of_the_identity_and_none_leaves_keys_as_they_were(digits: Dataset) -> None:
    encoder = from_module(Pixels(), preprocess=SMALL)
    plain = how()
    keys = {
        Extraction(recipe=plain.recipe, views=1, seed=0, batch_size=64, alteration=alteration).key(
            encoder, digits
        )
        for alteration in (
            None,
            Alteration("a", negative),
            Alteration("b", negative),
            Alteration("a", marked),
        )
    }
    assert len(keys) == 3  # the key of an alteration says what it does
    assert "alteration" not in plain.of_data(digits, SMALL)
    about = Extraction(
        recipe=plain.recipe, views=1, seed=0, batch_size=64, alteration=Alteration("a", negative)
    ).about(encoder, digits)
    assert about["recipe"] == "a"


def test_chosen_images_keep_order_labels_and_sides(digits: Dataset) -> None:
    kept = [40, 2, 199]
    few = only(digits, kept)
    assert few.ids == tuple(digits.ids[i] for i in kept)
    assert digits.labels is not None
    assert few.labels is not None
    assert [few.classes[k] for k in few.labels] == [digits.classes[digits.labels[i]] for i in kept]
    assert [i in set(few.test) for i in range(3)] == [i in set(digits.test) for i in kept]
    np.testing.assert_array_equal(few.read(1), digits.read(2))


def test_reading_altered_images_must_be_declared() -> None:
    spec = MetricSpec(
        name="m",
        version=1,
        summary="m",
        source="none",
        needs=Needs(embeddings=True),
        compute=lambda inputs: Estimate.not_applicable("none"),
    )
    with pytest.raises(MetricError, match="reads altered without declaring it"):
        _ = MetricInputs(spec, options={}, seed=0).altered
