"""Whether the cells of a table say that an image has several labels."""

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence

_FLAGS = frozenset({"0", "1", "-1", "0.0", "1.0", "-1.0", "true", "false"})
_SET = frozenset({"1", "1.0", "true"})
_FLAG_COLUMNS = 3
"""With so many columns of 0 and 1 and no label they are taken as labels."""
_ADVICE = "An image has one class here"
_LISTED = re.compile(r"[\[{].*[,'\"].*[\]}]", re.DOTALL)
_DECIMAL = re.compile(r"-?\d+,\d+")


def several_in_a_cell(labels: Sequence[str]) -> str:
    """What says that cells of a label column hold several labels each; empty when nothing does.

    What a separator joins are labels when most parts come back, alone or otherwise joined: 'cat|dog'
    beside 'cat' and 'dog'. 'tench, Tinca tinca' and '1,5' are names.
    """
    filled = [html.unescape(label) for label in labels if label]
    if listed := [label for label in filled if _LISTED.fullmatch(label)]:
        return _said(listed, filled)
    for mark in "|;,":
        joined = [label for label in filled if mark in label]
        decimals = mark == "," and all(map(_DECIMAL.fullmatch, joined))
        if joined and not decimals and _come_back(set(filled), mark):
            return _said(joined, filled)
    return ""


def several_columns(columns: Mapping[str, Sequence[str]]) -> str:
    """What says that a table has a column of 0 and 1 for each label; empty when nothing does."""
    flags = [name for name, cells in columns.items() if cells and {cell.lower() for cell in cells} <= _FLAGS]
    if len(flags) < _FLAG_COLUMNS:
        return ""
    shown = ", ".join(flags[:3])
    rows = zip(*(columns[name] for name in flags), strict=True)
    if all(sum(cell.lower() in _SET for cell in row) == 1 for row in rows):
        return (
            f"its classes are {len(flags)} columns of 0 and 1 ({shown}, ...) with exactly one 1 in each row, "
            "which is not read. Add a column label that holds the name of that column."
        )
    return (
        f"it is multi-label: {len(flags)} columns hold 0 and 1 ({shown}, ...), and none is called label. "
        f"{_ADVICE}; audit one column at a time, as in label={flags[0]}, or add a column label."
    )


def _come_back(values: set[str], mark: str) -> bool:
    """Whether most parts of the joined values stand in other values too, alone or joined."""
    parts = {value: {part for text in value.split(mark) if (part := text.strip())} for value in values}
    holders = Counter(part for own in parts.values() for part in own)
    joined = set().union(*(parts[value] for value in values if mark in value))
    return 2 * sum(holders[part] > 1 for part in joined) > len(joined)


def _said(joined: Sequence[str], filled: Sequence[str]) -> str:
    return (
        f"multi-label, {len(joined)} of {len(filled)} cells hold several labels ('{joined[0][:60]}'). "
        f"{_ADVICE}; keep one label in each cell, or make a column for each label and name one with label=."
    )
