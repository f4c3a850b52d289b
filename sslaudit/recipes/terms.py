"""The terms that recipes are written in: their options, what these may be, and how they are spelled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sslaudit.errors import RefError, UsageError
from sslaudit.recipes.operations import (
    BLUR_MIN_SIDE,
    Blur,
    Color,
    Crop,
    Flip,
    Gray,
    Operation,
    Solarize,
)
from sslaudit.refs import Term
from sslaudit.specs import Option, OptionValue, read_options

Values = Mapping[str, OptionValue | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TermSpec:
    """A term of recipes."""

    name: str
    summary: str
    options: tuple[Option, ...]
    build: Callable[..., Operation]
    """The operation from all options, ``-`` in their names written ``_``."""
    settle: Callable[[Values], Values] = dict
    """Makes options that mean the same the same."""

    def read(self, term: Term) -> tuple[Operation, Term]:
        """The operation that ``term`` spells, and its canonical spelling. Raises ``RefError``."""
        values = self.settle(self._values(term))
        changed = {
            o.name: str(values[o.name]) for o in self.options if values[o.name] not in (None, o.default)
        }
        operation = self.build(**{name.replace("-", "_"): value for name, value in values.items()})
        return operation, Term(self.name, changed)

    def _values(self, term: Term) -> Values:
        owner = f"term '{self.name}'"
        try:
            read = read_options(term.options, self.options, owner)
        except UsageError as error:
            raise RefError(str(error)) from None
        # Negative zero is zero, and spelled so.
        values = {name: value or 0.0 if isinstance(value, float) else value for name, value in read.items()}
        for name, value in values.items():
            if isinstance(value, float):
                words, low, high = _RANGES[name]
                if not low <= value <= high or (value == 0 and name in _ABOVE_0):
                    raise RefError(f"{owner}: option {name}={value:g} must be {words}.")
        for low_name, high_name in _ORDERED:
            smaller, larger = values.get(low_name), values.get(high_name)
            if isinstance(smaller, float) and isinstance(larger, float) and smaller > larger:
                raise RefError(f"{owner}: option {low_name}={smaller:g} is above {high_name}={larger:g}.")
        return values


_ABOVE_0 = ("scale", "max-scale", "ratio", "kernel", "min-sigma", "max-sigma")
_SHARE = ("above 0 and at most 1", 0.0, 1.0)
_PIXELS = ("above 0 and at most 1000", 0.0, 1000.0)
_SPREAD = ("between 0 and 2", 0.0, 2.0)
_RANGES: Mapping[str, tuple[str, float, float]] = {
    "p": ("between 0 and 1", 0.0, 1.0),
    "scale": _SHARE,
    "max-scale": _SHARE,
    "ratio": _SHARE,
    "kernel": _SHARE,
    # Beyond 2.5 the hue would turn by more than half the circle.
    "strength": ("between 0 and 2.5", 0.0, 2.5),
    "brightness": _SPREAD,
    "contrast": _SPREAD,
    "saturation": _SPREAD,
    "hue": ("between 0 and 0.5", 0.0, 0.5),
    "min-sigma": _PIXELS,
    "max-sigma": _PIXELS,
    "threshold": ("between 0 and 255", 0.0, 255.0),
}
_ORDERED = (("scale", "max-scale"), ("min-sigma", "max-sigma"))
_SHARES_OF_STRENGTH = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}


def _number(name: str, default: float | None, text: str) -> Option:
    return Option(name=name, type=float, default=default, help=text)


def _settle_color(values: Values) -> Values:
    """Without what strength says anyway; what differs takes all four out of its hands."""
    strength = values["strength"]
    assert isinstance(strength, float)
    usual = {name: share * strength for name, share in _SHARES_OF_STRENGTH.items()}
    given = {name: values[name] for name in usual if values[name] not in (None, usual[name])}
    if not given:
        return {**values, **dict.fromkeys(usual)}
    default = next(option.default for option in _COLOR_OPTIONS if option.name == "strength")
    return {**values, **usual, **given, "strength": default}


def _build_color(*, strength: float, p: float, **spreads: float | None) -> Color:
    resolved = {
        name: share * strength if (spread := spreads[name]) is None else spread
        for name, share in _SHARES_OF_STRENGTH.items()
    }
    return Color(p=p, **resolved)


_COLOR_OPTIONS = (
    _number("strength", 0.5, "from 0 to 2.5"),
    _number("p", 0.8, "probability"),
    _number("brightness", None, "how far the factor may be from 1; wins over strength"),
    _number("contrast", None, "as brightness"),
    _number("saturation", None, "as brightness"),
    _number("hue", None, "largest turn of the colour circle, at most 0.5; wins over strength"),
)

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
                Option(
                    name="interpolation",
                    type=str,
                    default="bilinear",
                    help="how it is resized",
                    choices=("bilinear", "bicubic"),
                ),
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
            options=_COLOR_OPTIONS,
            build=_build_color,
            settle=_settle_color,
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
        TermSpec(
            name="solarize",
            summary="bright levels inverted",
            options=(
                _number("p", 0.2, "probability"),
                _number("threshold", 128.0, "the lowest level that is inverted, 0 to 255"),
            ),
            build=Solarize,
        ),
    )
}
"""The terms, in the order in which their operations are applied."""
