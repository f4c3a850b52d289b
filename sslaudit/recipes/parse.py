"""From text to recipe and back."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from sslaudit.errors import RefError
from sslaudit.recipes.operations import Blur, Color, Crop, Flip, Gray, Operation, Solarize
from sslaudit.recipes.terms import TERMS
from sslaudit.refs import Term, split_terms
from sslaudit.specs import RecipeSpec

SPELLING_VERSION = 1
"""Version of recipes that are spelled in terms; raised whenever what a term draws changes."""

_TURNS = ("odd views", "even views")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Which operations are drawn for a view, with all their parameters."""

    crop: Crop | None = None
    flip: Flip | None = None
    color: Color | None = None
    gray: Gray | None = None
    blur: Blur | None = None
    solarize: Solarize | None = None

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations, in the order in which they are applied."""
        drawn = (self.crop, self.flip, self.color, self.gray, self.blur, self.solarize)
        return tuple(operation for operation in drawn if operation is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A parsed recipe: the distributions that the drawn views of an image take in turn."""

    text: str
    """The canonical spelling: a name, or terms in the order of application with the options changed."""
    version: int
    distributions: tuple[Distribution, ...]
    """One or two. View i, counted from 1, takes the first when i is odd and the last when it is even."""

    @property
    def identity(self) -> bool:
        """Whether nothing is drawn: every view is the identity view."""
        return not any(one.operations for one in self.distributions)

    def key(self) -> str:
        """The canonical spelling with its version, ``simclr@1``; ``parse_recipe`` reads it back."""
        return f"{self.text}@{self.version}"

    def describe(self, size: tuple[int, int]) -> str:
        """Every parameter of every operation at an input size (height, width) in pixels."""
        if self.identity:
            return "identity view only"
        parts: list[str] = []
        for kind in get_args(Operation):
            words = [_words(one, kind, size) for one in self.distributions]
            if len(set(words)) > 1:
                words = [f"{turn} {said}" for turn, said in zip(_TURNS, words, strict=True) if said]
            parts += dict.fromkeys(filter(None, words))
        return "; ".join(parts)


def _words(distribution: Distribution, kind: type[Operation], size: tuple[int, int]) -> str:
    for operation in distribution.operations:
        if isinstance(operation, kind):
            return operation.describe(size)
    return "start: identity view" if kind is Crop else ""


def parse_recipe(text: str, named: Mapping[str, RecipeSpec]) -> Recipe:
    """The recipe that ``text`` names or spells.

    ``NAME@VERSION``, as a card shows it, is accepted where the version is the present one. A term
    goes before a named recipe of the same name. Raises ``RefError``.
    """
    bare, at, version = text.strip().rpartition("@")
    spelled = (bare if at else version).split("|")
    if any(not side.strip() for side in spelled):
        raise RefError(
            f"recipe '{text}' is empty{' on one side of |' if len(spelled) > 1 else ''}. Write a name as "
            "simclr, or terms as crop+flip."
        )
    sides = [split_terms(side, "+") for side in spelled]
    name = sides[0][0].name
    if len(sides) == len(sides[0]) == 1 and name in named and name not in TERMS:
        spec = named[name]
        if sides[0][0].options:
            raise RefError(f"recipe '{name}' takes no options; write its terms: {_spelling(spec)}.")
        built = [_build(terms, f"recipe '{name}'", named)[0] for terms in _sides(spec)]
        recipe = Recipe(text=spec.name, version=spec.version, distributions=tuple(built))
    else:
        recipe = _spelled(sides, f"recipe '{text}'", named)
    if at and version != str(recipe.version):
        raise RefError(f"recipe '{text}': this sslaudit has version {recipe.version} of '{recipe.text}'.")
    return recipe


def _spelled(sides: list[list[Term]], owner: str, named: Mapping[str, RecipeSpec]) -> Recipe:
    if len(sides) > 2:
        raise RefError(f"{owner} has {len(sides)} distributions; two at most can be joined by '|'.")
    # Two equal distributions are one.
    built = {spelled: one for one, spelled in (_build(terms, owner, named) for terms in sides)}
    return Recipe(text="|".join(built), version=SPELLING_VERSION, distributions=tuple(built.values()))


def _build(terms: Iterable[Term], owner: str, named: Mapping[str, RecipeSpec]) -> tuple[Distribution, str]:
    """The distribution that ``terms`` spell, and its canonical spelling."""
    given: dict[str, Term] = {}
    for term in terms:
        if term.name not in TERMS:
            raise _unknown(term.name, owner, named)
        if term.name in given:
            raise RefError(f"{owner} has '{term.name}' twice.")
        given[term.name] = term
    read = {name: spec.read(given[name]) for name, spec in TERMS.items() if name in given}
    operations = {name: operation for name, (operation, _) in read.items()}
    spelled = "+".join(str(term) for _, term in read.values())
    return Distribution(**operations), spelled  # type: ignore[arg-type]


def _unknown(name: str, owner: str, named: Mapping[str, RecipeSpec]) -> RefError:
    if name in named:
        return RefError(
            f"{owner}: '{name}' is a whole recipe and cannot be joined to terms; "
            f"write its terms: {_spelling(named[name])}."
        )
    near = difflib.get_close_matches(name.lower(), [*TERMS, *named], n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return RefError(
        f"{owner}: there is no term or recipe '{name}'{hint} "
        f"Terms: {', '.join(TERMS)}. Recipes: {', '.join(sorted(named)) or 'none'}."
    )


def _sides(spec: RecipeSpec) -> tuple[tuple[Term, ...], ...]:
    return (spec.terms, spec.second) if spec.second else (spec.terms,)


def _spelling(spec: RecipeSpec) -> str:
    sides = ["+".join(str(term) for term in terms) for terms in _sides(spec)]
    return "|".join(sides) or "none are in it"
