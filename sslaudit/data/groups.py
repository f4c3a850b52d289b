"""Groups of images that belong together: bursts, items, patients."""

import re
import warnings
from dataclasses import replace

from sslaudit.data.dataset import Dataset
from sslaudit.data.rows import stands_twice
from sslaudit.errors import UsageError


def group_by(data: Dataset, rule: str) -> Dataset:
    """The data with groups: the column of that name, else what a regular expression finds in each id.

    A group is the first capture group, or the whole match. Images without one are each a group of
    their own. Data that came without splits are split again with groups kept whole; given splits
    stay. Raises ``UsageError`` for a rule that is neither, or that makes a single group.
    """
    if stands_twice(rule) in data.notes:
        raise UsageError(f"--group '{rule}': {stands_twice(rule)} Rename one of them.")
    found = list(data.columns[rule]) if rule in data.columns else _searched(data, rule)
    named = [name for name in found if name]
    notes = []
    if alone := len(found) - len(named):
        have = "image has" if alone == 1 else "images have"
        example = data.ids[next(i for i, name in enumerate(found) if not name)]
        notes.append(
            f"{alone} of {len(found)} {have} no group by '{rule}', such as {example}: each is one of its own."
        )
    if len(set(named)) == 1 and not alone:
        raise UsageError(f"--group '{rule}' puts all {len(found)} images into one group, '{named[0]}'.")
    if len(set(named)) == len(found):
        notes.append(f"Every image is a group of its own by '{rule}'.")
    # A name that no group has: a line break ends it.
    groups = [name or f"{data.ids[i]} (image {i})\n" for i, name in enumerate(found)]
    held_out = set(data.test.tolist())
    grouped = Dataset.build(
        ref=data.ref,
        read=data.read,
        digests=data.digests,
        class_names=None if data.labels is None else [data.classes[label] for label in data.labels],
        ids=data.ids,
        splits=["test" if i in held_out else "train" for i in range(len(data))]
        if data.splits_given
        else None,
        skipped=data.skipped,
        columns=data.columns,
        groups=groups,
        thumbs=data.thumbs,
        notes=notes,
    )
    notes = list(dict.fromkeys((*data.notes, *grouped.notes)))
    if not data.splits_given and not len(grouped.test):
        notes.append(f"The groups by '{rule}' are too few to hold any out: no image is reported on.")
    rule_in_words = data.split_rule if data.splits_given else grouped.split_rule
    return replace(grouped, notes=tuple(notes), split_rule=rule_in_words)


def _searched(data: Dataset, rule: str) -> list[str]:
    """What the expression finds in each id; empty for nothing."""
    columns = ", ".join(data.columns)
    neither = f"--group '{rule}' is none of the columns ({columns})" if columns else f"--group '{rule}'"
    joint = " and" if columns else ""
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a later Python may read otherwise
            expression = re.compile(rule)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"{neither}{joint} is no regular expression: {error}.") from None
    matches = [expression.search(name) for name in data.ids]
    found = [(match[1] if expression.groups else match[0]) or "" if match else "" for match in matches]
    if not any(found):
        raise UsageError(f"{neither}{joint} matches nothing in names such as '{data.ids[0]}'.")
    return found
