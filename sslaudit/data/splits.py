"""The split into train and test when the data has none, and what labels and groups say against it."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

HELD_OUT = 0.3
"""Share of each class that is reported on."""
_PAIRS = 3
"""Examples in a note."""


@dataclass(slots=True)
class _Atom:
    """Images that stand on one side: copies of one image, and whatever shares a group with them."""

    members: list[int] = field(default_factory=list)
    key: bytes = b""
    """Least content hash of its images: the place in the order."""
    sizes: dict[int, int] = field(default_factory=dict)
    """Different images by class."""
    held_out: bool = False


def by_content(
    digests: Sequence[str], labels: np.ndarray | None, groups: Sequence[str] | None = None
) -> np.ndarray:
    """(N,) bool, True for test: a share ``HELD_OUT`` of each class in the order of a content hash.

    Copies of one image, and images of one group, stand on one side. The split depends on contents,
    labels and who shares a group, and on nothing else: no name, no order. In the order of the hash
    an atom (what must stay together) goes to test when that brings its classes nearer to their
    share. A class of two or more atoms, none of them with images of another class, has both sides;
    with atoms of several classes that is mended as far as single moves go.
    """
    classes = [0] * len(digests) if labels is None else labels.tolist()
    atoms = sorted(_atoms(digests, classes, groups), key=lambda atom: atom.key)
    count: dict[int, int] = defaultdict(int)
    total: dict[int, int] = defaultdict(int)
    for atom in atoms:
        for label, size in atom.sizes.items():
            count[label] += 1
            total[label] += size
    wanted = {
        label: min(max(1, round(HELD_OUT * size)), size - 1) if count[label] > 1 else 0
        for label, size in total.items()
    }
    taken: dict[int, int] = dict.fromkeys(total, 0)
    for atom in atoms:
        # Growth of sum over classes of (taken - wanted)^2 / images, as in a chi-square statistic.
        growth = sum(
            size * (2 * (taken[label] - wanted[label]) + size) / total[label]
            for label, size in atom.sizes.items()
        )
        if growth <= 0:
            _move(atom, taken)
    _mend(atoms, count, total, taken)
    held_out = np.zeros(len(digests), dtype=bool)
    for atom in atoms:
        held_out[atom.members] = atom.held_out
    return held_out


def conflicting_labels(digests: Sequence[str], labels: np.ndarray, ids: Sequence[str]) -> list[str]:
    """A sentence about identical images in different classes, or none."""
    first: dict[str, dict[int, int]] = {}
    for i, (digest, label) in enumerate(zip(digests, labels.tolist(), strict=True)):
        first.setdefault(digest, {}).setdefault(label, i)
    torn = [places for places in first.values() if len(places) > 1]
    if not torn:
        return []
    # Of each pair of classes one example comes before a second one of any.
    turn: dict[tuple[int, ...], int] = defaultdict(int)
    ranked = []
    for places in torn:
        between = tuple(sorted(places))[:2]
        ranked.append((turn[between], [ids[i] for i in places.values()]))
        turn[between] += 1
    ranked.sort(key=lambda entry: entry[0])
    pairs = [f"{names[0]} and {names[1]}" for _, names in ranked[:_PAIRS]]
    pairs += ["others"] if len(torn) > _PAIRS else []
    what = "1 image has" if len(torn) == 1 else f"{len(torn)} images have"
    return [f"{what} identical copies in different classes: {'; '.join(pairs)}."]


def torn_groups(groups: Sequence[str], held_out: np.ndarray) -> list[str]:
    """A sentence about groups on both sides of a given split, or none."""
    train = {group for group, test in zip(groups, held_out.tolist(), strict=True) if not test}
    test = {group for group, test in zip(groups, held_out.tolist(), strict=True) if test}
    both = sorted(train & test)
    if not both:
        return []
    shown = ", ".join(both[:_PAIRS]) + (" and others" if len(both) > _PAIRS else "")
    stand = "stands" if len(both) == 1 else "stand"
    return [f"{len(both)} of {len(train | test)} groups {stand} in both train and test as given: {shown}."]


def _atoms(digests: Sequence[str], classes: Sequence[int], groups: Sequence[str] | None) -> list[_Atom]:
    """The components of the graph that joins equal contents and equal groups."""
    parent = list(range(len(digests)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for names in (digests, groups or ()):
        first: dict[str, int] = {}
        for i, name in enumerate(names):
            parent[root(i)] = root(first.setdefault(name, i))
    atoms: dict[int, _Atom] = defaultdict(_Atom)
    seen: set[tuple[str, int]] = set()
    for i, (digest, label) in enumerate(zip(digests, classes, strict=True)):
        atom = atoms[root(i)]
        atom.members.append(i)
        key = hashlib.sha256(f"split/{digest}".encode()).digest()
        atom.key = min(atom.key, key) if atom.key else key
        if (digest, label) not in seen:
            seen.add((digest, label))
            atom.sizes[label] = atom.sizes.get(label, 0) + 1
    for atom in atoms.values():
        atom.sizes = dict(sorted(atom.sizes.items()))  # one order of summation, whatever the input's
    return list(atoms.values())


def _move(atom: _Atom, taken: dict[int, int]) -> None:
    """To the other side."""
    atom.held_out = not atom.held_out
    for label, size in atom.sizes.items():
        taken[label] += size if atom.held_out else -size


def _mend(
    atoms: Sequence[_Atom], count: dict[int, int], total: dict[int, int], taken: dict[int, int]
) -> None:
    """Give a class that has atoms enough both sides, by the smallest move that costs no other class one.

    Only atoms with images of several classes make this necessary.
    """

    def one_sided(label: int) -> bool:
        return count[label] > 1 and taken[label] in (0, total[label])

    for label in sorted(label for label in count if one_sided(label)):
        for atom in sorted(
            (a for a in atoms if label in a.sizes), key=lambda a: (sum(a.sizes.values()), a.key)
        ):
            before = sum(map(one_sided, atom.sizes))
            _move(atom, taken)
            if sum(map(one_sided, atom.sizes)) < before:
                break
            _move(atom, taken)
