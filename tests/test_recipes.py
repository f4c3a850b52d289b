"""Recipes: grammar, canonical spelling, refusals."""

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit.errors import RefError
from sslaudit.recipes import BUILTIN_RECIPES, TERMS, Blur, Color, Crop, Flip, Gray, Recipe, parse_recipe
from sslaudit.refs import Term
from sslaudit.specs import RecipeSpec

NAMED = {spec.name: spec for spec in BUILTIN_RECIPES}


def parse(text: str) -> Recipe:
    return parse_recipe(text, NAMED)


def test_simclr_is_the_recipe_of_its_paper() -> None:
    recipe = parse("simclr")
    assert recipe == Recipe(
        text="simclr",
        version=1,
        crop=Crop(scale=0.08, max_scale=1.0, ratio=0.75),
        flip=Flip(p=0.5),
        color=Color(strength=1.0, p=0.8),
        gray=Gray(p=0.2),
        blur=Blur(p=0.5, min_sigma=0.1, max_sigma=2.0, kernel=0.1),
    )
    assert recipe.color is not None
    assert recipe.color.factors == pytest.approx((0.2, 1.8))
    assert recipe.color.hue == pytest.approx(0.2)
    assert recipe.key() == "simclr@1"
    assert not recipe.identity


def test_none_draws_nothing() -> None:
    recipe = parse("none")
    assert recipe.identity
    assert recipe.operations == ()
    assert recipe.key() == "none@1"
    assert recipe.describe((224, 224)) == "identity view only"


def test_colour_defaults_are_those_of_the_ablation() -> None:
    color = parse("color").color
    assert color is not None
    assert (color.p, color.strength, color.hue) == (0.8, 0.5, 0.1)
    assert color.factors == pytest.approx((0.6, 1.4))
    strong = parse("color(strength=2)").color
    assert strong is not None
    assert strong.factors == pytest.approx((0.0, 2.6))  # brightness is never negative


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("blur+crop", "crop+blur"),
        (" color + gray + crop ", "crop+color+gray"),
        ("crop(scale=0.08)", "crop"),
        ("crop(max-scale=.5,scale=.20)", "crop(scale=0.2,max-scale=0.5)"),
        ("flip(p=1)", "flip(p=1.0)"),
        ("flip(p=-0.0)", "flip(p=0.0)"),
    ],
)
def test_equal_recipes_have_one_spelling(text: str, canonical: str) -> None:
    assert parse(text) == parse(canonical)
    assert parse(text).text == canonical
    assert parse(text).key() == f"{canonical}@1"


@given(
    names=st.lists(st.sampled_from(list(TERMS)), min_size=1, unique=True),
    p=st.floats(0, 1),
    scale=st.floats(1e-9, 1),
    strength=st.floats(0, 2.5),
)
def test_key_reads_back(names: list[str], p: float, scale: float, strength: float) -> None:
    options = {
        "crop": f"(scale={scale!r})",
        "color": f"(strength={strength!r},p={p!r})",
        "gray": f"(p={p!r})",
    }
    recipe = parse("+".join(name + options.get(name, "") for name in names))
    assert parse(recipe.key()) == parse(recipe.text) == recipe


@given(st.text(alphabet="crop+gray(scale=0.5,p)@1 -", max_size=30))
def test_parsing_is_total(text: str) -> None:
    with contextlib.suppress(RefError):
        assert isinstance(parse(text), Recipe)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("crop+", "empty place"),
        ("crpo", "did you mean 'crop'"),
        ("simlcr", "did you mean 'simclr'"),
        ("sharpen", "Terms: crop, flip, color, gray, blur. Recipes: none, simclr."),
        ("crop+crop(scale=0.5)", "'crop' twice"),
        ("simclr+blur", "cannot be joined"),
        ("simclr+blur", "crop+flip+color(strength=1.0)+gray+blur"),
        ("simclr(p=0.5)", "takes no options"),
        ("simclr@2", "version 1 of 'simclr'"),
        ("crop@7", "version 1 of 'crop'"),
        ("crop(size=3)", "no option 'size'; it has: max-scale, ratio, scale"),
        ("crop(scale=small)", "scale=small is not a number"),
        ("crop(scale=0)", "term 'crop': option scale=0 must be above 0 and at most 1"),
        ("crop(max-scale=1.5)", "option max-scale=1.5"),
        ("crop(ratio=1.4)", "option ratio=1.4"),
        ("crop(scale=0.9,max-scale=0.5)", "scale=0.9 is above max-scale=0.5"),
        ("flip(p=1.01)", "term 'flip': option p=1.01 must be between 0 and 1"),
        ("gray(p=-0.1)", "option p=-0.1"),
        ("gray(p=nan)", "option p=nan"),
        ("color(strength=-1)", "option strength=-1 must be between 0 and 2.5"),
        ("color(strength=2.6)", "option strength=2.6"),
        ("blur(min-sigma=0)", "option min-sigma=0"),
        ("blur(max-sigma=inf)", "option max-sigma=inf"),
        ("blur(min-sigma=3)", "min-sigma=3 is above max-sigma=2"),
    ],
)
def test_refusal_names_the_place(text: str, words: str) -> None:
    with pytest.raises(RefError) as refusal:
        parse(text)
    assert words in str(refusal.value)


def test_recipe_of_a_plugin() -> None:
    gentle = RecipeSpec(
        name="gentle", version=3, summary="", terms=(Term("flip"), Term("crop", {"scale": "0.5"}))
    )
    recipe = parse_recipe("gentle", {**NAMED, "gentle": gentle})
    assert recipe.key() == "gentle@3"
    assert recipe.crop == parse("crop(scale=0.5)").crop
    broken = RecipeSpec(name="broken", version=1, summary="", terms=(Term("sharpen"),))
    with pytest.raises(RefError, match="recipe 'broken': there is no term or recipe 'sharpen'"):
        parse_recipe("broken", {"broken": broken})


@pytest.mark.parametrize(
    ("size", "kernel"), [(8, None), (31, None), (32, 3), (49, 5), (64, 7), (97, 9), (224, 23)]
)
def test_blur_kernel_follows_the_size(size: int, kernel: int | None) -> None:
    blur = parse("blur").blur
    assert blur is not None
    assert blur.kernel_size((size, size + 50)) == blur.kernel_size((size + 50, size)) == kernel
    words = f"kernel {kernel} x {kernel} px" if kernel else "left out, as below 32 px"
    assert words in parse("crop+blur").describe((size, size))


@given(side=st.integers(32, 2000), share=st.floats(1e-6, 1))
def test_blur_kernel_is_odd_and_can_be_reflected(side: int, share: float) -> None:
    kernel = Blur(p=1.0, min_sigma=0.1, max_sigma=2.0, kernel=share).kernel_size((side, side))
    assert kernel is not None
    assert kernel % 2 == 1
    assert kernel >= 3
    assert kernel // 2 < side


def test_description_has_every_parameter() -> None:
    text = parse("simclr").describe((224, 192))
    for words in (
        "area 0.08 to 1",
        "0.75 to 1.333",
        "224 x 192 px",
        "p 0.5",
        "x 0.2 to 1.8",
        "hue -0.2 to 0.2",
        "gray: p 0.2",
        "sigma 0.1 to 2 px",
        "kernel 19 x 19 px",
    ):
        assert words in text
    assert parse("gray").describe((8, 8)).startswith("start: identity view; ")


def test_parsing_needs_no_array_library() -> None:
    code = (
        "import sys; from sslaudit.recipes import *;"
        "parse_recipe('simclr', {s.name: s for s in BUILTIN_RECIPES});"
        "assert not {'numpy', 'torch', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
