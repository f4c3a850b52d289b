"""Recipes: grammar, canonical spelling, refusals."""

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslaudit.errors import RefError
from sslaudit.recipes import (
    BUILTIN_RECIPES,
    TERMS,
    Blur,
    Color,
    Crop,
    Distribution,
    Flip,
    Gray,
    Recipe,
    Solarize,
    factors,
    parse_recipe,
)
from sslaudit.refs import Term
from sslaudit.specs import RecipeSpec

NAMED = {spec.name: spec for spec in BUILTIN_RECIPES}


def parse(text: str) -> Recipe:
    return parse_recipe(text, NAMED)


def only(text: str) -> Distribution:
    (distribution,) = parse(text).distributions
    return distribution


WEAK = Color(p=0.8, brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
BLUR = Blur(p=0.5, min_sigma=0.1, max_sigma=2.0, kernel=0.1)


def test_simclr_is_the_recipe_of_its_paper() -> None:
    recipe = parse("simclr")
    assert recipe.distributions == (
        Distribution(
            crop=Crop(scale=0.08, max_scale=1.0, ratio=0.75),
            flip=Flip(p=0.5),
            color=Color(p=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2),
            gray=Gray(p=0.2),
            blur=BLUR,
        ),
    )
    assert (recipe.text, recipe.version, recipe.key()) == ("simclr", 1, "simclr@1")
    assert not recipe.identity


def test_moco_v2_is_the_recipe_of_its_code() -> None:
    assert only("moco-v2") == Distribution(
        crop=Crop(scale=0.2, max_scale=1.0, ratio=0.75),
        flip=Flip(p=0.5),
        color=Color(p=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
        gray=Gray(p=0.2),
        blur=BLUR,
    )


@pytest.mark.parametrize(("name", "scale"), [("byol", 0.08), ("barlow-twins", 0.08), ("dino-global", 0.4)])
def test_asymmetric_pairs_are_those_of_their_papers(name: str, scale: float) -> None:
    first, second = parse(name).distributions
    shared = {
        "crop": Crop(scale=scale, max_scale=1.0, ratio=0.75, interpolation="bicubic"),
        "flip": Flip(p=0.5),
        "color": WEAK,
        "gray": Gray(p=0.2),
    }
    always, seldom = (Blur(p=p, min_sigma=0.1, max_sigma=2.0, kernel=0.1) for p in (1.0, 0.1))
    assert first == Distribution(**shared, blur=always)
    assert second == Distribution(**shared, blur=seldom, solarize=Solarize(p=0.2, threshold=128.0))


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("slides-a", "crop"),
        ("slides-ab", "crop+blur"),
        ("slides-abc", "crop+blur+gray"),
        ("slides-abcd", "crop+blur+gray+color"),
        ("slides-abcde", "crop+blur+gray+color+flip"),
        ("slides-color-1", "crop+color(strength=1.0,p=1.0)"),
        ("slides-color-0.5", "crop+color(p=1.0)"),
        ("slides-color-0.25", "crop+color(strength=0.25,p=1.0)"),
        ("slides-color-0.125", "crop+color(strength=0.125,p=1.0)"),
    ],
)
def test_rows_of_the_slides(name: str, same: str) -> None:
    assert only(name) == only(same)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_name_can_be_typed_and_read_back(name: str) -> None:
    recipe = parse(name)
    assert recipe.text == name
    assert parse(recipe.key()) == recipe
    assert recipe.describe((224, 224))
    assert NAMED[name].summary


def test_none_draws_nothing() -> None:
    recipe = parse("none")
    assert recipe.identity
    assert recipe.distributions == (Distribution(),)
    assert recipe.key() == "none@1"
    assert recipe.describe((224, 224)) == "identity view only"


def test_colour_defaults_are_those_of_the_ablation() -> None:
    assert only("color").color == Color(p=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    assert only("color(strength=2)").color == Color(
        p=0.8, brightness=1.6, contrast=1.6, saturation=1.6, hue=0.4
    )
    assert factors(0.4) == pytest.approx((0.6, 1.4))
    assert factors(1.6) == pytest.approx((0.0, 2.6))  # brightness is never negative


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("blur+crop", "crop+blur"),
        (" color + gray + crop ", "crop+color+gray"),
        ("crop(scale=0.08)", "crop"),
        ("crop(max-scale=.5,scale=.20)", "crop(scale=0.2,max-scale=0.5)"),
        ("flip(p=1)", "flip(p=1.0)"),
        ("flip(p=-0.0)", "flip(p=0.0)"),
        ("solarize+blur", "blur+solarize"),
        ("crop(interpolation=bilinear)", "crop"),
        ("crop(interpolation=bicubic,scale=0.4)", "crop(scale=0.4,interpolation=bicubic)"),
        ("color(brightness=0.4,hue=0.1)", "color"),
        ("color(strength=1,hue=0.1)", "color(brightness=0.8,contrast=0.8,saturation=0.8,hue=0.1)"),
        ("color(hue=0)", "color(brightness=0.4,contrast=0.4,saturation=0.4,hue=0.0)"),
        ("blur+crop|solarize+crop", "crop+blur|crop+solarize"),
        ("crop+blur|crop+blur(p=.5)", "crop+blur"),
    ],
)
def test_equal_recipes_have_one_spelling(text: str, canonical: str) -> None:
    assert parse(text) == parse(canonical)
    assert parse(text).text == canonical
    assert parse(text).key() == f"{canonical}@1"


@st.composite
def spelled(draw: st.DrawFn) -> str:
    """Terms in any order, with some of their options."""
    names = draw(st.lists(st.sampled_from(list(TERMS)), min_size=1, unique=True))
    p, share = st.floats(0, 1), st.floats(1e-9, 1)
    spread = st.floats(0, 2)
    values: dict[str, dict[str, st.SearchStrategy[object]]] = {
        "crop": {"scale": share, "ratio": share, "interpolation": st.sampled_from(["bilinear", "bicubic"])},
        "color": {
            "strength": st.floats(0, 2.5),
            "p": p,
            "brightness": spread,
            "contrast": spread,
            "saturation": spread,
            "hue": st.floats(0, 0.5),
        },
        "blur": {"p": p, "min-sigma": st.floats(0.01, 1), "kernel": share},
        "solarize": {"p": p, "threshold": st.floats(0, 255)},
    }
    terms = []
    for name in names:
        options = values.get(name, {"p": p})
        chosen = draw(st.lists(st.sampled_from(list(options)), unique=True))
        terms.append(str(Term(name, {option: str(draw(options[option])) for option in chosen})))
    return "+".join(terms)


@given(st.lists(spelled(), min_size=1, max_size=2).map("|".join))
def test_key_reads_back(text: str) -> None:
    recipe = parse(text)
    assert parse(recipe.key()) == parse(recipe.text) == recipe
    assert 1 <= len(recipe.distributions) <= 1 + text.count("|")
    assert recipe.describe((64, 64))


@given(st.text(alphabet="crop+gray(scale=0.5,p)@1| -", max_size=30))
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
        ("sharpen", "Terms: crop, flip, color, gray, blur, solarize. Recipes: barlow-twins, byol, "),
        ("crop+crop(scale=0.5)", "'crop' twice"),
        ("simclr+blur", "cannot be joined"),
        ("simclr+blur", "crop+flip+color(strength=1.0)+gray+blur"),
        ("simclr|crop", "cannot be joined"),
        ("byol+flip", "gray+blur(p=1.0)|crop(interpolation=bicubic)+flip+color("),
        ("crop|blur|gray", "recipe 'crop|blur|gray' has 3 distributions; two at most"),
        ("crop|", "empty"),
        ("simclr(p=0.5)", "takes no options"),
        ("crop(interpolation=nearest)", "interpolation=nearest is none of bilinear, bicubic"),
        ("color(hue=0.6)", "option hue=0.6 must be between 0 and 0.5"),
        ("color(brightness=2.1)", "option brightness=2.1 must be between 0 and 2"),
        ("solarize(threshold=256)", "option threshold=256 must be between 0 and 255"),
        ("simclr@2", "version 1 of 'simclr'"),
        ("crop@7", "version 1 of 'crop'"),
        ("crop(size=3)", "no option 'size'; it has: interpolation, max-scale, ratio, scale"),
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
    assert recipe.distributions == (Distribution(crop=only("crop(scale=0.5)").crop, flip=Flip(p=0.5)),)
    pair = RecipeSpec(name="pair", version=2, summary="", terms=(Term("crop"),), second=(Term("flip"),))
    assert parse_recipe("pair@2", {"pair": pair}).distributions == parse("crop|flip").distributions
    broken = RecipeSpec(name="broken", version=1, summary="", terms=(Term("sharpen"),))
    with pytest.raises(RefError, match="recipe 'broken': there is no term or recipe 'sharpen'"):
        parse_recipe("broken", {"broken": broken})


@pytest.mark.parametrize(
    ("size", "kernel"), [(8, None), (31, None), (32, 3), (49, 5), (64, 7), (97, 9), (224, 23)]
)
def test_blur_kernel_follows_the_size(size: int, kernel: int | None) -> None:
    blur = only("blur").blur
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


def test_description_of_two_distributions_says_where_they_differ() -> None:
    text = parse("crop(interpolation=bicubic)+blur(p=1)|crop(interpolation=bicubic)+solarize").describe(
        (64, 64)
    )
    assert text == (
        "crop: area 0.08 to 1 of the image, aspect ratio 0.75 to 1.333, resized to 64 x 64 px, "
        "bicubic with antialiasing; "
        "odd views blur: p 1, Gaussian, sigma 0.1 to 2 px, kernel 7 x 7 px; "
        "even views solarize: p 0.2, levels of 128 and above inverted"
    )
    assert parse("crop|flip").describe((64, 64)).split("; ")[1:] == [
        "even views start: identity view",
        "even views flip: horizontal, p 0.5",
    ]
    uneven = parse("color(brightness=0.4,contrast=0.3,saturation=0.2,hue=0.1)").describe((64, 64))
    assert (
        "brightness x 0.6 to 1.4, contrast x 0.7 to 1.3, saturation x 0.8 to 1.2, hue -0.1 to 0.1" in uneven
    )


def test_parsing_needs_no_array_library() -> None:
    code = (
        "import sys; from sslaudit.recipes import *;"
        "parse_recipe('simclr', {s.name: s for s in BUILTIN_RECIPES});"
        "assert not {'numpy', 'torch', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
