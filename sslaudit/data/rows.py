"""A csv as text cells: encoding, separator and quotes, with the line where something is wrong."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sslaudit.errors import DataError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows of as many cells each, without the space around them."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    """Where each row ends in the file, counted from 1."""

    def values(self, column: int) -> list[str]:
        """The cells of one column."""
        return [row[column] for row in self.rows]

    def column_values(self) -> dict[str, list[str]]:
        """The cells of all columns by name."""
        return {name: self.values(k) for k, name in enumerate(self.header)}

    def only(self, kept: Sequence[int]) -> "Table":
        """The table with some of its rows."""
        return replace(self, rows=tuple(self.rows[i] for i in kept), lines=tuple(self.lines[i] for i in kept))

    def shown(self) -> str:
        """The header for a message."""
        more = f", and {len(self.header) - 12} more" if len(self.header) > 12 else ""
        return ", ".join(name[:40] for name in self.header[:12]) + more


def stands_twice(name: str) -> str:
    """What is said of a column whose name another column has too."""
    return f"The column '{name}' stands twice."


def read_table(content: bytes, separator: str | None, wanted: Sequence[str]) -> Table:
    """The cells of a csv in UTF-8, with or without a byte order mark.

    Without ``separator`` it is the one by which the first line holds a name of ``wanted``, else the
    one that gives most columns. Raises ``DataError`` naming the line.
    """
    text = _text(content)
    lines_before, stated, text = _without_preface(text, wanted)
    if not text.strip():
        raise DataError("it is empty.")
    mark = SEPARATORS[separator] if separator else stated or _separator(text, wanted)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    header: tuple[str, ...] | None = None
    rows, lines = [], []
    try:
        for row in reader:
            cells = tuple(cell.strip() for cell in row)
            if not any(cells):
                continue
            if header is None:
                header = cells
            else:
                lines.append(lines_before + reader.line_num)
                rows.append(_fitted(cells, header, lines[-1]))
    except csv.Error as error:
        raise DataError(f"line {lines_before + reader.line_num}: {error}.") from None
    return Table(header or (), tuple(rows), tuple(lines))


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("it is written in UTF-16. Save it as UTF-8.")
    if content.startswith(b"PK\x03\x04"):
        raise DataError("it is a spreadsheet or an archive, not a csv. Save it as csv, UTF-8.")
    if b"\0" in content:
        raise DataError("it holds zero bytes, so it is no csv.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"line {line} is not UTF-8 (byte 0x{content[error.start]:02x}). Save it as UTF-8."
        ) from None


def _without_preface(text: str, wanted: Sequence[str]) -> tuple[int, str, str]:
    """Count of lines before the header, the separator they state as Excel does, and the text behind them.

    Such lines are empty, begin with ``#`` or are ``sep=`` and one character; a line that holds a name
    of ``wanted`` is the header.
    """
    stated = ""
    lines = io.StringIO(text, newline="").readlines()
    for count, line in enumerate(lines):
        if excel := re.fullmatch(r"sep=(.)\s*", line, re.IGNORECASE):
            stated = excel[1]
        elif line.strip() and (not line.startswith("#") or _fit(line, wanted, _separator(line, wanted))[0]):
            return count, stated, "".join(lines[count:])
    return len(lines), stated, ""


def _separator(text: str, wanted: Sequence[str]) -> str:
    line = next(line for line in text.splitlines() if line.strip())
    return max(SEPARATORS.values(), key=lambda mark: _fit(line, wanted, mark))


def _fit(line: str, wanted: Sequence[str], mark: str) -> tuple[bool, int]:
    """Whether a line cut at ``mark`` holds a name of ``wanted``, and into how many cells it is cut."""
    try:
        cells = [cell.strip().lower() for cell in next(csv.reader([line], delimiter=mark))]
    except csv.Error:  # reading says more: which line, and why
        return False, 0
    return any(cell in wanted for cell in cells), len(cells)


def _fitted(cells: tuple[str, ...], header: tuple[str, ...], line: int) -> tuple[str, ...]:
    """``cells`` with as many as the header: what is missing at the end is empty."""
    if any(cells[len(header) :]):
        raise DataError(
            f"line {line} has {len(cells)} cells and the first line {len(header)}. "
            "Put a cell that holds the separator in quotes."
        )
    return (*cells[: len(header)], *[""] * (len(header) - len(cells)))
