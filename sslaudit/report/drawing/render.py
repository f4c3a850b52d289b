"""A figure as a piece of a page, and as a file of its own."""

from collections.abc import Sequence

from sslaudit.figures import Bars, Curve, Figure, Histogram, Matrix, Scatter, Waterfall
from sslaudit.report.drawing.bars import draw_bars
from sslaudit.report.drawing.curve import draw_curve
from sslaudit.report.drawing.histogram import draw_histogram
from sslaudit.report.drawing.matrix import draw_matrix
from sslaudit.report.drawing.primitives import WIDTH, Drawing, px, text
from sslaudit.report.drawing.scatter import draw_scatter
from sslaudit.report.drawing.style import STANDALONE_STYLE
from sslaudit.report.drawing.text import safe, whole, wrap
from sslaudit.report.drawing.waterfall import draw_waterfall

_MARGIN = 16.0
_LINE = 20.0


def draw(figure: Figure) -> str:
    """``<figure class="sslaudit-figure">`` with inline SVG; ``STYLE`` goes with it, once on a page.

    Every text is escaped, the markup is well-formed XML, and equal figures give equal text.
    """
    drawing = _drawing(figure)
    note = f" <span><bdi>{safe(figure.note)}</bdi></span>" if figure.note else ""
    head = f"<figcaption><strong><bdi>{safe(figure.title)}</bdi></strong>{note}</figcaption>"
    view = f'viewBox="0 0 {px(WIDTH)} {px(drawing.height)}" role="img" aria-label="{_said(figure, drawing)}"'
    below = "".join(f"\n<p>{safe(remark)}</p>" for remark in drawing.remarks)
    inside = "\n".join(drawing.parts)
    return f'<figure class="sslaudit-figure">\n{head}\n<svg {view}>\n{inside}\n</svg>{below}\n</figure>\n'


def svg(figure: Figure) -> str:
    """A file of its own, with title, note and style."""
    drawing = _drawing(figure)
    parts, y = _lines([(figure.title, "strong"), (figure.note, "soft")], _LINE)
    parts.append(f'<g transform="translate({px(_MARGIN)} {px(y)})">')
    parts += [*drawing.parts, "</g>"]
    below, y = _lines([(remark, "soft") for remark in drawing.remarks], y + drawing.height + _LINE)
    return whole_svg([*parts, *below], WIDTH + 2 * _MARGIN, y, _said(figure, drawing))


def whole_svg(parts: Sequence[str], across: float, down: float, said: str) -> str:
    """An SVG file of ``parts``; ``said`` is markup for those who do not see it."""
    sides = f'viewBox="0 0 {px(across)} {px(down)}" width="{px(across)}" height="{px(down)}"'
    named = f'class="sslaudit-figure" role="img" aria-label="{said}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {named} {sides}>'
    ground = f'<rect class="ground" width="{px(across)}" height="{px(down)}"/>'
    return "\n".join([head, f"<style>{STANDALONE_STYLE}</style>", ground, *parts, "</svg>"]) + "\n"


def _said(figure: Figure, drawing: Drawing) -> str:
    return f"{whole(figure.title)}. {whole(drawing.said, 600)}"


def _lines(paragraphs: Sequence[tuple[str, str]], y: float) -> tuple[list[str], float]:
    parts = []
    for words, kind in paragraphs:
        for row in wrap(words, WIDTH):
            parts.append(text(_MARGIN, y + 4, row, kind=kind, room=WIDTH + _MARGIN))
            y += _LINE
    return parts, y


def _drawing(figure: Figure) -> Drawing:
    match figure:
        case Curve():
            return draw_curve(figure)
        case Matrix():
            return draw_matrix(figure)
        case Bars():
            return draw_bars(figure)
        case Waterfall():
            return draw_waterfall(figure)
        case Histogram():
            return draw_histogram(figure)
        case Scatter():
            return draw_scatter(figure)
