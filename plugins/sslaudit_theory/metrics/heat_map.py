"""Numbers of pairs of classes as a figure, cut to the classes that matter most."""

from collections.abc import Sequence

import numpy as np

from sslaudit.figures import Matrix

CLASSES_SHOWN = 40
"""A larger map is cut to the worst classes."""


def heat_map(
    title: str, values: np.ndarray, badness: np.ndarray, names: Sequence[str], value_label: str, note: str
) -> Matrix:
    """``values`` (K, K) with the names of classes; of many those with the largest ``badness`` (K,)."""
    shown = np.arange(len(names))
    if len(names) > CLASSES_SHOWN:
        shown = np.sort(np.argsort(-badness, kind="stable")[:CLASSES_SHOWN])
        title += f", the {CLASSES_SHOWN} worst classes of {len(names):,}"
    chosen = [names[k] for k in shown.tolist()]
    return Matrix(
        title=title,
        rows=chosen,
        columns=chosen,
        values=values[np.ix_(shown, shown)].tolist(),
        value_label=value_label,
        note=note,
    )
