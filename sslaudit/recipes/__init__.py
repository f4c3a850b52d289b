"""Recipes: distributions of augmentations, each written as one string.

A recipe is a name (``none``, ``simclr``) or terms joined by ``+``: ``crop+blur``,
``crop(scale=0.2)+color(strength=0.25)``. Whatever the order of writing, the operations are applied
in the order crop, flip, color, gray, blur, solarize, so ``blur+crop`` is ``crop+blur``. Without
``crop`` the operations start from the identity view. Two distributions joined by ``|`` are taken in
turn: of ``crop+blur|crop+solarize`` views 1, 3, 5 are drawn from the first and 2, 4, 6 from the second.
"""

from sslaudit.recipes.named import BUILTIN_RECIPES
from sslaudit.recipes.operations import (
    BLUR_MIN_SIDE,
    Blur,
    Color,
    Crop,
    Flip,
    Gray,
    Interpolation,
    Operation,
    Solarize,
    factors,
)
from sslaudit.recipes.parse import SPELLING_VERSION, Distribution, Recipe, parse_recipe
from sslaudit.recipes.terms import TERMS, TermSpec

VERSION = 3
"""Version of the operations; part of the key of features, and raised whenever pixels change."""

__all__ = [
    "BLUR_MIN_SIDE",
    "BUILTIN_RECIPES",
    "SPELLING_VERSION",
    "TERMS",
    "VERSION",
    "Blur",
    "Color",
    "Crop",
    "Distribution",
    "Flip",
    "Gray",
    "Interpolation",
    "Operation",
    "Recipe",
    "Solarize",
    "TermSpec",
    "factors",
    "parse_recipe",
]
