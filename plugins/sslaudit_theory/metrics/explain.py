"""Theorem 1 with the numbers of one card put in, as plain text at most 80 columns wide."""

from collections.abc import Iterator, Mapping
from textwrap import wrap

from sslaudit.results import Detail
from sslaudit_theory.metrics.ladder.words import LABELS, PAPERS, number

Details = Mapping[str, Detail]

_WIDTH = 80

_SYMBOLS = (
    ("f", "the encoder after the norm of its embeddings, ||f|| = r"),
    ("sigma", "share of every class that is concentrated"),
    ("delta", "any two images of that part have views at most so far apart"),
    ("eps", "views of one image at most so far apart count as aligned"),
    ("R_eps", "share of images with two views farther apart than eps"),
    ("L", "Lipschitz constant: distance of features over distance of pixels"),
    ("r", "length of every embedding"),
    ("min p", "probability of the rarest class"),
    ("mu", "centre of a class: mean of f over its images and their views"),
    ("Delta_mu", "1 - min ||mu||^2 / r^2: how far centres lie inside the sphere"),
    ("rho", "what concentration and alignment cost, below"),
    ("beta", "the same in our sharper condition: ||f - mu|| <= r beta"),
    ("q", "share of a class that is concentrated and aligned, at least sigma - R_eps"),
)

_VALUES = {
    "sigma": "sigma",
    "delta": "delta",
    "eps": "eps",
    "R_eps": "R",
    "L": "L",
    "r": "r",
    "min p": "p_min",
    "Delta_mu": "delta_mu",
    "rho": "rho",
}

_RULES = {
    "rho": "mu_l.mu_k < r^2 (1 - rho - sqrt(2 rho) - Delta_mu / 2)",
    "beta": "||mu_l - mu_k|| > 2 r beta",
}

_SHARES = {
    "share_concentration": "2 (1 - sigma)",
    "share_misaligned": "R_eps / p, or 2 R_eps",
    "share_distance": "sigma L delta / r",
    "share_tolerance": "2 sigma eps / r",
}


def explain(estimates: Mapping[str, Details]) -> str:
    """The formula of Theorem 1 with these numbers, its symbols, and every rung with its verdict.

    ``estimates`` are the details of the rungs by name, "" for the theorem as printed; the other names
    and their order are those of the card. What a card does not hold is left out.
    """
    first = estimates.get("", {})
    lines = [
        *_theorem(first),
        "",
        *_symbols(first),
        "",
        "The ladder, from the theorem as printed to the error",
    ]
    for name, label in LABELS.items():
        if name in estimates:
            lines += ["", *_rung(name, label, estimates[name])]
    if isinstance(left_out := first.get("certified_L"), str):
        lines += ["", *_said("Left out, a certified L: ", left_out)]
    return "\n".join(line.rstrip() for line in lines)


def _theorem(first: Details) -> Iterator[str]:
    yield "Theorem 1 (Huang et al., ICLR 2023)"
    yield from _said("  version: ", first.get("version") or "slides and ICLR 2023: the same formula")
    yield ""
    yield "  rho = 2 (1 - sigma) + R_eps / min p + sigma (L delta / r + 2 eps / r)"
    if "rho" in first:
        sigma, delta, eps, R, L, r, p = (
            _number(first[name]) for name in ("sigma", "delta", "eps", "R", "L", "r", "p_min")
        )
        yield f"      = 2 (1 - {sigma}) + {R} / {p} + {sigma} ({L} x {delta} / {r} + 2 x {eps} / {r})"
        yield "      = " + " + ".join(_number(first[share]) for share in _SHARES)
        yield f"      = {_number(first['rho'])}"
    yield ""
    yield "  If for all pairs of classes"
    yield "     mu_l.mu_k / r^2 < 1 - rho - sqrt(2 rho) - Delta_mu / 2,"
    yield "  then the nearest-centre classifier errs at most (1 - sigma) + R_eps."
    yield ""
    if "rho" not in first:
        yield from _said("  This card: not computable: ", first.get("reason") or "no reason is given")
        return
    rho, delta_mu = _number(first["rho"]), _number(first["delta_mu"])
    overlap, margin = first["overlap"], first["margin"]
    right = _number(float(overlap or 0) + float(margin or 0))
    met = isinstance(margin, float) and margin > 0
    yield f"  Worst pair, {first['worst_pair']}:"
    yield f"     {_number(overlap)} < 1 - {rho} - sqrt(2 x {rho}) - {delta_mu} / 2 = {right}"
    yield f"  {'is true' if met else 'is not true'}: rho must be below {_number(first['budget'])}."
    if first.get("bound") is not None:
        yield f"  So the error is at most (1 - {_number(first['sigma'])}) + {_number(first['R'])}"
        yield f"     = {_number(first['bound'])}."
    yield from _said("  Verdict: ", first["reason"] if _is_withdrawn(first) else first["verdict"])


def _symbols(first: Details) -> Iterator[str]:
    yield "Symbols" if "rho" not in first else "Symbols, with their numbers here"
    for symbol, meaning in _SYMBOLS:
        value = first.get(_VALUES.get(symbol, ""))
        shown = _number(value) if isinstance(value, int | float) else ""
        yield from _said(f"  {symbol:<9} {shown:>8}  ", meaning)
    if first.get("L_is") is not None:
        yield from _said("  L here is ", first["L_is"])
    if first.get("from") is not None:
        yield from _said("  Taken from: ", first["from"])
    if first.get("images_required") is not None:
        enough = "there are enough" if first.get("enough_images") else "too few"
        yield from _said(
            "  Limits of R_eps need about K^2 x 50 test images: ",
            f"{first['images_required']:,}; here {first['images_tested']:,}, {enough}.",
        )


def _rung(name: str, label: str, details: Details) -> Iterator[str]:
    yield f"{label} ({PAPERS[name]})" if name in PAPERS else label
    if name == "measured":
        yield from _said(
            "  error     ",
            f"{_number(details['error'])}, and {_number(details['random_views'])} of other views",
        )
        yield from _said("  tested on ", f"{details['tested']:,} images; {details['from']}")
        return
    what = details.get("condition")
    if isinstance(what, str):
        yield from _condition(what, details)
    elif "V" in details:
        yield from _moments(details)
    if details.get("bound") is not None:
        yield from _said("  error     ", f"at most {_number(details['bound'])}")
    yield from _said("  verdict   ", details.get("verdict") or "none")
    if details.get("reason") and (_is_withdrawn(details) or not isinstance(what, str)):
        yield from _said("  because   ", details["reason"])


def _condition(what: str, details: Details) -> Iterator[str]:
    yield from _said("  condition ", f"{_RULES[what]} for all k")
    if what == "beta":
        left, right = f"{_number(details['centre_distance'])}", f"2 x {_number(details['r'])} x"
        yield from _said(
            "  numbers   ", f"{left} against {right} {_number(details['beta'])} ({details['worst_pair']})"
        )
    else:
        yield from _said(
            "  numbers   ",
            f"{_number(details['overlap'])} against rho {_number(details['rho'])} "
            f"and Delta_mu {_number(details['delta_mu'])} ({details['worst_pair']})",
        )
    names = ("sigma", "delta", "eps", "R", "q", "L")
    inputs = [
        f"{name if name != 'R' else 'R_eps'} {_number(details[name])}"
        for name in names
        if details.get(name) is not None
    ]
    yield from _said("  with      ", ", ".join(inputs))
    shares = [f"{key.removeprefix('share_')} {_number(details[key])}" for key in _SHARES if key in details]
    yield from _said(
        "  shares    ", f"{', '.join(shares)}; {what} must be below {_number(details['budget'])}"
    )
    certified = (
        f"; classes certified: {details['classes_certified']}, "
        f"{_number(details['certified_mass'])} of all images"
    )
    yield from _said(
        "  pairs     ", f"{details['pairs_met']} are met{'' if _is_withdrawn(details) else certified}"
    )
    if details.get("level") is not None:
        yield from _said("  limits    ", f"all on the safe side, at {_number(details['level'])} together")


def _is_withdrawn(details: Details) -> bool:
    """Whether the measured error refutes the numbers of a rung."""
    return details.get("verdict") == "inconclusive"


def _moments(details: Details) -> Iterator[str]:
    V, align, inner = (_number(details[key]) for key in ("V", "half_alignment", "concentration"))
    yield from _said("  V         ", f"align / 2 + tr Cov = {align} + {inner} = {V}, mean over images")


def _said(start: str, text: Detail) -> list[str]:
    """``text`` after ``start``, wrapped below itself."""
    indent = " " * min(len(start), 22)
    return wrap(
        f"{start}{text}", _WIDTH, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False
    )


def _number(value: Detail) -> str:
    if value is None:
        return "-"
    return number(float(value)) if isinstance(value, int | float) else str(value)
