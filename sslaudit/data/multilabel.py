"""Whether the cells of a table say that an image has several labels."""

from collections.abc import Mapping, Sequence

_FLAGS = frozenset({"0", "1", "-1", "0.0", "1.0", "-1.0", "true", "false"})
_FLAG_COLUMNS = 3
"""With so many columns of 0 and 1 and no label they are taken as labels."""
_ADVICE = "An image has one class here"


def several_in_a_cell(labels: Sequence[str]) -> str:
    """What says that cells of a label column hold several labels each; empty when nothing does.

    A separator that stands in most rows is one, and so is one whose parts come back in other cells:
    'cat|dog' beside 'cat' and 'dog'. A comma in most rows is none: 'tench, Tinca tinca' is a name.
    """
    filled = [label for label in labels if label]
    if listed := [label for label in filled if label.startswith(("[", "{")) and label.endswith(("]", "}"))]:
        return _said(listed, filled)
    for mark in "|;,":
        joined = [label for label in filled if mark in label]
        most = mark != "," and 2 * len(joined) > len(filled)
        if joined and (most or _come_back(set(filled), mark)):
            return _said(joined, filled)
    return ""


def several_columns(columns: Mapping[str, Sequence[str]]) -> str:
    """What says that a table has a column of 0 and 1 for each label; empty when nothing does."""
    flags = [name for name, cells in columns.items() if cells and {cell.lower() for cell in cells} <= _FLAGS]
    if len(flags) < _FLAG_COLUMNS:
        return ""
    shown = ", ".join(flags[:3])
    return (
        f"it is multi-label: {len(flags)} columns hold 0 and 1 ({shown}, ...), and none is called label. "
        f"{_ADVICE}; audit one column at a time, as in label={flags[0]}, or add a column label."
    )


def _come_back(values: set[str], mark: str) -> bool:
    """Whether most of the joined values are made of parts that other values hold too."""
    parts = {value: [part.strip() for part in value.split(mark)] for value in values}
    joined = [value for value in values if len(parts[value]) > 1]
    holders: dict[str, int] = {}
    for own in parts.values():
        for part in set(own):
            holders[part] = holders.get(part, 0) + 1
    free = [value for value in joined if all(part and holders[part] > 1 for part in parts[value])]
    return 2 * len(free) >= len(joined)


def _said(joined: Sequence[str], filled: Sequence[str]) -> str:
    return (
        f"multi-label, {len(joined)} of {len(filled)} cells hold several labels ('{joined[0][:60]}'). "
        f"{_ADVICE}; keep one label in each cell, or make a column for each label and name one with label=."
    )
