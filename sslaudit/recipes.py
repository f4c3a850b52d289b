"""Recipes: distributions of augmentations, each written as one string.

A recipe is a name (``none``, ``simclr``) or terms joined by ``+``: ``crop+blur``,
``crop(scale=0.2)+color(strength=0.25)``. Whatever the order of writing, the operations are applied
in the order crop, flip, color, gray, blur, so ``blur+crop`` is ``crop+blur``. Without ``crop`` the
operations start from the identity view.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sslaudit.errors import RefError, UsageError
from sslaudit.refs import Term, split_terms
from sslaudit.specs import Option, RecipeSpec, read_options

VERSION = 1
"""Version of the operations and of how they are drawn; raised whenever the drawn views change."""

BLUR_MIN_SIDE = 32
"""Blur is left out when the shorter side of the input is below so many pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A box of random area and aspect ratio, resized to the input size (``RandomResizedCrop``)."""

    scale: float
    max_scale: float
    ratio: float

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        return (
            f"crop: area {self.scale:g} to {self.max_scale:g} of the image, aspect ratio {self.ratio:.4g} to "
            f"{1 / self.ratio:.4g}, resized to {size[0]} x {size[1]} px, bilinear with antialiasing"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A horizontal flip."""

    p: float

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        return f"flip: horizontal, p {self.p:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Color:
    """Brightness, contrast, saturation and hue, changed in random order (``ColorJitter``)."""

    strength: float
    p: float

    @property
    def factors(self) -> tuple[float, float]:
        """Lowest and highest factor of brightness, contrast and saturation."""
        return max(0.0, 1 - 0.8 * self.strength), 1 + 0.8 * self.strength

    @property
    def hue(self) -> float:
        """Largest shift of the hue, in turns of the colour circle."""
        return 0.2 * self.strength

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        low, high = self.factors
        return (
            f"color: p {self.p:g}, brightness, contrast and saturation x {low:g} to {high:g}, "
            f"hue -{self.hue:g} to {self.hue:g} turns, in random order"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gray:
    """Luma in all three channels."""

    p: float

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        return f"gray: p {self.p:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """A Gaussian blur of random width."""

    p: float
    min_sigma: float
    max_sigma: float
    kernel: float

    def kernel_size(self, size: tuple[int, int]) -> int | None:
        """Taps of the kernel at an input size: odd and at least 3; None when blur is left out."""
        if min(size) < BLUR_MIN_SIDE:
            return None
        return max(3, int(self.kernel * min(size)) | 1)

    def describe(self, size: tuple[int, int]) -> str:
        """All parameters, in words."""
        kernel = self.kernel_size(size)
        if kernel is None:
            return f"blur: left out, as below {BLUR_MIN_SIDE} px"
        return (
            f"blur: p {self.p:g}, Gaussian, sigma {self.min_sigma:g} to {self.max_sigma:g} px, "
            f"kernel {kernel} x {kernel} px"
        )


Operation = Crop | Flip | Color | Gray | Blur


@dataclass(frozen=True, slots=True, kw_only=True)
class TermSpec:
    """A term of recipes."""

    name: str
    summary: str
    options: tuple[Option, ...]
    build: Callable[..., Operation]


def _number(name: str, default: float, text: str) -> Option:
    return Option(name=name, type=float, default=default, help=text)


TERMS: Mapping[str, TermSpec] = {
    term.name: term
    for term in (
        TermSpec(
            name="crop",
            summary="a box of random area and aspect ratio, resized to the input size",
            options=(
                _number("scale", 0.08, "smallest share of the image's area"),
                _number("max-scale", 1.0, "largest share of the image's area"),
                _number("ratio", 0.75, "smallest aspect ratio; the largest is its inverse"),
            ),
            build=Crop,
        ),
        TermSpec(
            name="flip",
            summary="horizontal flip",
            options=(_number("p", 0.5, "probability"),),
            build=Flip,
        ),
        TermSpec(
            name="color",
            summary="brightness, contrast, saturation (0.8 x strength), hue (0.2 x strength), random order",
            options=(_number("strength", 0.5, "from 0 to 2.5"), _number("p", 0.8, "probability")),
            build=Color,
        ),
        TermSpec(
            name="gray",
            summary="luma in all three channels",
            options=(_number("p", 0.2, "probability"),),
            build=Gray,
        ),
        TermSpec(
            name="blur",
            summary=f"Gaussian blur; left out below {BLUR_MIN_SIDE} px",
            options=(
                _number("p", 0.5, "probability"),
                _number("min-sigma", 0.1, "smallest standard deviation in pixels"),
                _number("max-sigma", 2.0, "largest standard deviation in pixels"),
                _number("kernel", 0.1, "its side as a share of the shorter side, made odd, at least 3"),
            ),
            build=Blur,
        ),
    )
}
"""The terms, in the order in which their operations are applied."""

_SHARE = ("above 0 and at most 1", lambda value: 0 < value <= 1)
_PIXELS = ("above 0 and at most 1000", lambda value: 0 < value <= 1000)
_ALLOWED: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "p": ("between 0 and 1", lambda value: 0 <= value <= 1),
    "scale": _SHARE,
    "max-scale": _SHARE,
    "ratio": _SHARE,
    "kernel": _SHARE,
    # Beyond 2.5 the hue would turn by more than half the circle.
    "strength": ("between 0 and 2.5", lambda value: 0 <= value <= 2.5),
    "min-sigma": _PIXELS,
    "max-sigma": _PIXELS,
}
_ORDERED = (("scale", "max-scale"), ("min-sigma", "max-sigma"))

BUILTIN_RECIPES: tuple[RecipeSpec, ...] = (
    RecipeSpec(name="none", version=1, summary="no augmentation: the identity view only", terms=()),
    RecipeSpec(
        name="simclr",
        version=1,
        summary="crop, flip, strong colour jitter, gray, blur",
        terms=(Term("crop"), Term("flip"), Term("color", {"strength": "1.0"}), Term("gray"), Term("blur")),
        source="Chen et al., ICML 2020, Appendix A",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A parsed recipe: which operations are drawn, with all their parameters."""

    text: str
    """The canonical spelling: a name, or terms in the order of application with the options changed."""
    version: int
    crop: Crop | None = None
    flip: Flip | None = None
    color: Color | None = None
    gray: Gray | None = None
    blur: Blur | None = None

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations, in the order in which they are applied."""
        return tuple(op for op in (self.crop, self.flip, self.color, self.gray, self.blur) if op is not None)

    @property
    def identity(self) -> bool:
        """Whether nothing is drawn: every view is the identity view."""
        return not self.operations

    def key(self) -> str:
        """The canonical spelling with its version, ``simclr@1``; ``parse_recipe`` reads it back."""
        return f"{self.text}@{self.version}"

    def describe(self, size: tuple[int, int]) -> str:
        """Every parameter of every operation at an input size (height, width) in pixels."""
        if self.identity:
            return "identity view only"
        start = [] if self.crop else ["start: identity view"]
        return "; ".join([*start, *(operation.describe(size) for operation in self.operations)])


def parse_recipe(text: str, named: Mapping[str, RecipeSpec]) -> Recipe:
    """The recipe that ``text`` names or spells.

    ``NAME@VERSION``, as a card shows it, is accepted where the version is the present one. A term
    goes before a named recipe of the same name. Raises ``RefError``.
    """
    bare, at, version = text.strip().rpartition("@")
    terms = split_terms(bare if at else version, "+")
    name = terms[0].name
    if len(terms) == 1 and name in named and name not in TERMS:
        spec = named[name]
        if terms[0].options:
            raise RefError(f"recipe '{name}' takes no options; write its terms: {_spelling(spec.terms)}.")
        recipe = _build(spec.name, spec.version, spec.terms, f"recipe '{name}'", named)
    else:
        recipe = _build(None, VERSION, terms, f"recipe '{text}'", named)
    if at and version != str(recipe.version):
        raise RefError(f"recipe '{text}': this sslaudit has version {recipe.version} of '{recipe.text}'.")
    return recipe


def _build(
    name: str | None, version: int, terms: Iterable[Term], owner: str, named: Mapping[str, RecipeSpec]
) -> Recipe:
    given: dict[str, Term] = {}
    for term in terms:
        if term.name not in TERMS:
            raise _unknown(term.name, owner, named)
        if term.name in given:
            raise RefError(f"{owner} has '{term.name}' twice.")
        given[term.name] = term
    operations, spelled = {}, []
    for spec in TERMS.values():
        if spec.name in given:
            values = _values(spec, given[spec.name])
            operations[spec.name] = spec.build(**{key.replace("-", "_"): v for key, v in values.items()})
            changed = {o.name: repr(values[o.name]) for o in spec.options if values[o.name] != o.default}
            spelled.append(str(Term(spec.name, changed)))
    return Recipe(text=name or "+".join(spelled), version=version, **operations)  # type: ignore[arg-type]


def _values(spec: TermSpec, term: Term) -> dict[str, float]:
    owner = f"term '{spec.name}'"
    try:
        read = read_options(term.options, spec.options, owner)
    except UsageError as error:
        raise RefError(str(error)) from None
    values = {name: float(value or 0.0) for name, value in read.items()}
    for name, value in values.items():
        words, allowed = _ALLOWED[name]
        if not allowed(value):
            raise RefError(f"{owner}: option {name}={value:g} must be {words}.")
    for low, high in _ORDERED:
        if low in values and values[low] > values[high]:
            raise RefError(f"{owner}: option {low}={values[low]:g} is above {high}={values[high]:g}.")
    return values


def _unknown(name: str, owner: str, named: Mapping[str, RecipeSpec]) -> RefError:
    if name in named:
        return RefError(
            f"{owner}: '{name}' is a whole recipe and cannot be joined to terms; "
            f"write its terms: {_spelling(named[name].terms)}."
        )
    near = difflib.get_close_matches(name.lower(), [*TERMS, *named], n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return RefError(
        f"{owner}: there is no term or recipe '{name}'{hint} "
        f"Terms: {', '.join(TERMS)}. Recipes: {', '.join(sorted(named)) or 'none'}."
    )


def _spelling(terms: Iterable[Term]) -> str:
    return "+".join(str(term) for term in terms) or "none are in it"
