"""Strengths of transforms against what the recipe does to each view."""

import numpy as np
import pytest

from sslaudit.data import subset
from sslaudit.encoder import Preprocess
from sslaudit.extraction import Extraction, PixelViews
from sslaudit.loading import load_dataset
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe
from sslaudit.strengths import strengths
from sslaudit.views import SLOTS, Slot, draw

NAMED = {spec.name: spec for spec in BUILTIN_RECIPES}


def of(recipe: str, u: np.ndarray, size: int = 32) -> dict[str, np.ndarray]:
    return strengths(parse_recipe(recipe, NAMED), u, (size, size))


def test_each_transform_by_its_own_number() -> None:
    u = np.full((1, 3, SLOTS), 0.99)
    u[0, 1, [Slot.FLIP, Slot.GRAY, Slot.COLOR, Slot.BLUR]] = 0.0
    u[0, 1, [Slot.BRIGHTNESS, Slot.CONTRAST]] = (1.0, 0.0)
    u[0, 1, [Slot.SATURATION, Slot.HUE]] = (0.5, 0.75)
    u[0, 2, Slot.CROP_AREA] = 0.5
    found = of("crop(scale=0.2)+flip+color+gray+blur", u)
    assert found["flip"].tolist() == found["gray"].tolist() == found["blur"].tolist() == [[0, 1, 0]]
    assert found["color"][0] == pytest.approx([0, (1 + 1 + 0 + 0.5) / 4, 0])
    assert found["crop"][0] == pytest.approx([0, 1 - (0.2 + 0.8 * 0.99), 1 - 0.6])
    assert not of("blur", u, size=16)["blur"].any(), "blur is left out below 32 px"


def test_two_distributions_in_turn() -> None:
    u = np.zeros((2, 5, SLOTS))
    found = of("flip|gray", u)
    assert found["flip"].tolist() == [[0, 1, 0, 1, 0]] * 2
    assert found["gray"].tolist() == [[0, 0, 1, 0, 1]] * 2


def test_a_run_gives_those_of_its_own_draws() -> None:
    data = subset(load_dataset("digits"), max_images=40)
    recipe = parse_recipe("simclr", NAMED)
    how = Extraction(recipe=recipe, views=4, seed=3, batch_size=1)
    found = PixelViews(data, how, Preprocess(size=(8, 8))).transforms()
    u = draw(3, data.digests, 4)
    assert set(found) == {"crop", "flip", "color", "gray"}, "no blur at 8 px"
    for name, strength in strengths(recipe, u, (8, 8)).items():
        if name in found:
            np.testing.assert_array_equal(found[name], strength)
    plain = parse_recipe("flip(p=1.0)", NAMED)
    always = Extraction(recipe=plain, views=2, seed=3, batch_size=1)
    views = PixelViews(data, always, Preprocess(size=(8, 8))).of(range(3)).numpy()
    np.testing.assert_array_equal(views[:, 1], views[:, 0, ..., ::-1])
    assert found["flip"].mean() == pytest.approx(0.5 * 3 / 4, abs=0.15)
    none = Extraction(recipe=parse_recipe("none", NAMED), views=1, seed=0, batch_size=1)
    assert PixelViews(data, none, Preprocess(size=(8, 8))).transforms() == {}
