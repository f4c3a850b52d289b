"""Figures drawn as SVG: inline on a page, or as files of their own.

``draw`` gives the piece of a page, ``STYLE`` the CSS of all of them, ``svg`` a file. Drawings are ``WIDTH``
units across with text of 14, so they stay readable on a page 360 pixels wide.
"""

from sslaudit.report.drawing.render import draw, svg
from sslaudit.report.drawing.style import STYLE

__all__ = ["STYLE", "draw", "svg"]
