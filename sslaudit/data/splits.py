"""The split into train and test when the data has none."""

import hashlib
from collections.abc import Sequence

import numpy as np

HELD_OUT = 0.3
"""Share of each class that is reported on."""


def by_content(digests: Sequence[str], labels: np.ndarray | None) -> np.ndarray:
    """(N,) bool, True for test: a share ``HELD_OUT`` of each class in the order of a content hash.

    Copies of one image stand on one side. The split depends on nothing but contents and labels. A
    class with two or more different images, none of them in another class, has both sides.
    """
    if labels is None:
        labels = np.zeros(len(digests), dtype=np.int64)
    held_out: dict[str, bool] = {}
    for label in range(int(labels.max()) + 1):
        members = [digests[i] for i in np.flatnonzero(labels == label).tolist()]
        unique = sorted(set(members), key=lambda digest: hashlib.sha256(f"split/{digest}".encode()).digest())
        wanted = min(max(1, round(HELD_OUT * len(unique))), len(unique) - 1)
        taken = sum(held_out.get(digest, False) for digest in unique)
        for digest in unique:
            if digest not in held_out:
                held_out[digest] = taken < wanted
                taken += held_out[digest]
    return np.array([held_out[digest] for digest in digests], dtype=bool)
