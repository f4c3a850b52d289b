"""Colours and type of all drawings.

The colours of series are those of Okabe and Ito, which people with colour blindness tell apart, a little
lighter on dark ground. They are CSS variables: a page may set its own on ``:root`` or round its figures.
"""

import re
from collections.abc import Mapping

LIGHT = {
    "--ink": "#1b1f24",
    "--soft": "#57606a",
    "--line": "#d8dee4",
    "--ground": "#ffffff",
    "--heat": "#004a7a",
    "--on-heat": "#000000",
    "--on-full-heat": "#ffffff",
    "--c0": "#0072b2",
    "--c1": "#d55e00",
    "--c2": "#009e73",
    "--c3": "#cc79a7",
    "--c4": "#e69f00",
    "--c5": "#56b4e9",
    "--c6": "#1b1f24",
    "--c7": "#a89b00",
}
DARK = {
    "--ink": "#e6edf3",
    "--soft": "#9aa4af",
    "--line": "#363c44",
    "--ground": "#16181c",
    "--heat": "#4f9fd7",
    "--on-heat": "#ffffff",
    "--on-full-heat": "#000000",
    "--c0": "#2b8cd0",
    "--c1": "#f0752b",
    "--c2": "#1fbf92",
    "--c3": "#e09cc4",
    "--c4": "#f0b429",
    "--c5": "#8fd0f5",
    "--c6": "#e6edf3",
    "--c7": "#f0e442",
}
COLOURS = 8
HEAT_STEPS = 24
"""Steps of the one-hue scale of heat maps."""
FULL_HEAT = 17
"""The step from which text on it takes the other end of the scale, for a contrast of 4.5 everywhere."""

_DRAWN = """
.sslaudit-figure text { fill: var(--ink); font: 14px system-ui, sans-serif; }
.sslaudit-figure text { font-variant-numeric: tabular-nums; }
.sslaudit-figure .strong { font-weight: 600; }
.sslaudit-figure .soft { fill: var(--soft); }
.sslaudit-figure .halo { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; }
.sslaudit-figure .ground { fill: var(--ground); }
.sslaudit-figure .grid { stroke: var(--line); fill: none; }
.sslaudit-figure .axis { stroke: var(--soft); fill: none; }
.sslaudit-figure .lead { stroke: var(--soft); fill: none; stroke-width: .8; }
.sslaudit-figure .mark { stroke: var(--ink); fill: none; stroke-dasharray: 3 3; }
.sslaudit-figure .error { stroke: var(--ink); fill: none; stroke-width: 1.3; }
.sslaudit-figure .series { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.sslaudit-figure .whisker { fill: none; stroke-opacity: .75; stroke-width: 1.4; }
.sslaudit-figure .thin { fill: none; stroke-width: 1; stroke-opacity: .55; }
.sslaudit-figure .band { fill-opacity: .2; stroke: none; }
.sslaudit-figure .faint { fill-opacity: .4; }
.sslaudit-figure .points { fill-opacity: .8; }
.sslaudit-figure .few { fill-opacity: 1; stroke: var(--ink); stroke-width: 1.5; }
.sslaudit-figure .heat { fill: var(--heat); }
.sslaudit-figure .heat-lines { stroke: var(--heat); fill: none; }
.sslaudit-figure .on { fill: var(--on-heat); }
.sslaudit-figure .on-full { fill: var(--on-full-heat); }
.sslaudit-figure .clear { fill: transparent; stroke: none; }
""" + "".join(
    f".sslaudit-figure .f{i} {{ fill: var(--c{i}); }} .sslaudit-figure .s{i} {{ stroke: var(--c{i}); }}\n"
    for i in range(COLOURS)
)

_ON_A_PAGE = """
.sslaudit-figure { color: var(--ink); margin: 1.5rem 0; max-width: 30rem; }
.sslaudit-figure figcaption { line-height: 1.4; margin-bottom: .6rem; overflow-wrap: anywhere; }
.sslaudit-figure figcaption strong { display: block; font-weight: 600; }
.sslaudit-figure figcaption span, .sslaudit-figure p { color: var(--soft); font-size: .875rem; }
.sslaudit-figure p { line-height: 1.4; margin: .4rem 0 0; overflow-wrap: anywhere; }
.sslaudit-figure svg { display: block; height: auto; width: 100%; }
@media print { .sslaudit-figure { break-inside: avoid; } }
"""


def _given(palette: Mapping[str, str]) -> str:
    return " ".join(f"{name}: {colour};" for name, colour in palette.items())


STYLE = f"""
:where(:root) {{ {_given(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :where(:root) {{ {_given(DARK)} }} }}
{_DRAWN.strip()}
{_ON_A_PAGE.strip()}
"""
"""CSS of all figures of a page; ``:where`` gives way to whatever variables the page sets itself."""


def _resolved(palette: Mapping[str, str]) -> str:
    return re.sub(r"var\((--[a-z0-9-]+)\)", lambda found: palette[found[1]], _DRAWN.strip())


STANDALONE_STYLE = f"""
{_resolved(LIGHT)}
@media (prefers-color-scheme: dark) {{
{_resolved(DARK)}
}}
"""
"""The same for a file of its own, without variables, which programs that convert SVG do not know."""
