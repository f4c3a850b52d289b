"""The contact sheet: what a recipe makes of some images, to look at."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from sslaudit.errors import OutputError
from sslaudit.whole import replacing

_PAPER, _INK, _FAINT, _EDGE, _MARK = "#fbfaf7", "#222222", "#6f6f6f", "#dcd9d2", "#2a6fa8"
_MARGIN, _GAP, _LINE = 36, 12, 20
_SMALL, _LARGE = 112, 160
"""Sides of the shown views in pixels: smaller views are enlarged, larger ones reduced."""
_LABEL = 160
"""Most pixels that a name at a row may take."""

_SIGNATURE = ("Software", "sslaudit views")


def contact_sheet(views: Tensor, names: Sequence[str], *, title: str, description: str) -> Image.Image:
    """Views (N, V, 3, h, w) uint8 as N rows with a name each; view 0, the identity view, is marked.

    Each part of ``description``, between semicolons, begins a line of the heading.
    """
    n, v, _, h, w = views.shape
    body, bold, head = (ImageFont.load_default(size=size) for size in (14, 15, 22))
    width, height = _shown(w, h)
    names = [_fitted(name, bold, _LABEL) for name in names]
    left = _MARGIN + (math.ceil(max(map(bold.getlength, names))) + 2 * _GAP if any(names) else 0)
    # A wider gap sets the identity view apart.
    at_x = [left + i * (width + _GAP) + (2 * _GAP if i else 0) for i in range(v)]
    right = max(at_x[-1] + width, _MARGIN + 560)
    lines = [line for part in description.split("; ") for line in _wrapped(part, body, right - _MARGIN)]
    top = _MARGIN + 36 + _LINE * len(lines) + 16
    first = top + _LINE + 6
    sheet = Image.new("RGB", (right + _MARGIN, first + n * (height + _GAP) - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 6), title, _INK, head)
    for i, line in enumerate(lines):
        draw.text((_MARGIN, _MARGIN + 32 + i * _LINE), line, _FAINT, body)
    for i, x in enumerate(at_x):
        said, colour = (f"view {i}", _FAINT) if i else ("identity", _MARK)
        draw.text((x + width / 2, top + _LINE / 2), said, colour, body, anchor="mm")
    for row, (name, images) in enumerate(zip(names, views.permute(0, 1, 3, 4, 2).cpu().numpy(), strict=True)):
        y = first + row * (height + _GAP)
        draw.text((left - 2 * _GAP, y + height / 2), name, _INK, bold, anchor="rm")
        for x, pixels in zip(at_x, images, strict=True):
            how = Image.Resampling.NEAREST if width >= w else Image.Resampling.LANCZOS
            draw.rectangle((x - 1, y - 1, x + width, y + height), outline=_EDGE)
            sheet.paste(Image.fromarray(pixels).resize((width, height), how), (x, y))
        draw.rectangle((left - 3, y - 3, left + width + 2, y + height + 2), outline=_MARK, width=2)
    return sheet


def is_sheet(path: Path) -> bool:
    """Whether a file is a contact sheet that was written before."""
    name, value = _SIGNATURE
    with contextlib.suppress(OSError, SyntaxError, ValueError), Image.open(path, formats=["PNG"]) as image:
        return image.info.get(name) == value
    return False


def write_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a PNG beside ``path``, then move it there. Raises ``OutputError``."""
    signature = PngInfo()
    signature.add_text(*_SIGNATURE)
    try:
        with replacing(path) as beside:
            sheet.save(beside, "PNG", pnginfo=signature)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}.") from error


def _shown(width: int, height: int) -> tuple[int, int]:
    """Width and height of a view on the sheet: small ones in whole multiples, so that pixels stay square."""
    longer = max(width, height)
    if longer <= _SMALL:
        times = math.ceil(_SMALL / longer)
        return width * times, height * times
    share = min(1.0, _LARGE / longer)
    return max(1, round(width * share)), max(1, round(height * share))


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, most: int) -> str:
    """``text`` on one line, its end cut where it takes more than ``most`` pixels."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if font.getlength(text) <= most:
        return text
    while text and font.getlength(f"{text}...") > most:
        text = text[:-1]
    return f"{text}..."


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, most: int) -> Iterator[str]:
    """Lines of at most ``most`` pixels where words allow."""
    line = ""
    for word in text.split():
        if line and font.getlength(f"{line} {word}") > most:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    if line:
        yield line
