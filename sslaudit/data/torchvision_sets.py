"""The labelled data sets of torchvision: ``torchvision:CIFAR10``.

Files are looked for in ``root=``, else in the cache, and downloaded there when they are missing.
CIFAR's batches are pickles. They are opened only when each has the MD5 that torchvision states for
it; torchvision checks the same before it unpickles. No other set here is unpickled: label files
are idx, MATLAB or text, or read by ``torch.load(weights_only=True)``.
"""

import contextlib
import difflib
import inspect
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sslaudit.data.dataset import Dataset
from sslaudit.data.map_style import MapStyle, open_object
from sslaudit.errors import DataError, DataNotFound, RefError
from sslaudit.refs import DataRef
from sslaudit.store import default_cache

Arguments = Mapping[str, object]


def _flag(names: str) -> dict[str, tuple[Arguments, ...]]:
    return {name: ({"train": True}, {"train": False}) for name in names.split()}


def _split(names: str, train: str, test: str) -> dict[str, tuple[Arguments, ...]]:
    return {name: ({"split": train}, {"split": test}) for name in names.split()}


SETS: Mapping[str, tuple[Arguments, ...]] = {
    **_flag("CIFAR10 CIFAR100 FashionMNIST KMNIST MNIST QMNIST USPS"),
    "EMNIST": ({"split": "balanced", "train": True}, {"split": "balanced", "train": False}),
    **_split(
        "Country211 DTD Flowers102 Food101 GTSRB PCAM RenderedSST2 STL10 SVHN StanfordCars", "train", "test"
    ),
    **_split("FGVCAircraft OxfordIIITPet", "trainval", "test"),
    **_split("CLEVRClassification ImageNet Imagenette", "train", "val"),
    **_split("Places365", "train-standard", "val"),
    **{name: ({},) for name in ("Caltech101", "Caltech256", "EuroSAT", "FakeData", "SEMEION", "SUN397")},
}
"""What makes train and test of each set, or the whole of one without splits."""


def open_torchvision(ref: DataRef) -> Dataset:
    """Train and test of a torchvision data set.

    Raises ``RefError`` for a name that is none of ``SETS``, ``DataNotFound`` when files are missing
    and cannot be downloaded, and ``DataError`` when they are damaged.
    """
    from torchvision import datasets

    name = _known(ref)
    kind = getattr(datasets, name)
    root = Path(os.path.expanduser(ref.option("root") or default_cache() / "datasets"))
    places = ("train", "test")[: len(SETS[name])]
    sides = [
        _made(kind, {**arguments, **_chosen(ref, arguments, place)}, root, ref)
        for place, arguments in zip(places, SETS[name], strict=True)
    ]
    return open_object(tuple(sides) if len(sides) == 2 else sides[0], ref=str(ref))


def _known(ref: DataRef) -> str:
    """The name in ``SETS``, whatever its case. Raises ``RefError``."""
    from torchvision import datasets

    wanted = ref.locator.strip()
    if name := {name.lower(): name for name in SETS}.get(wanted.lower()):
        return name
    if wanted in ("ImageFolder", "DatasetFolder"):
        raise RefError(f"'{ref}': name the folder itself, as in --data photos/.")
    if wanted == "CelebA":
        raise RefError(
            f"'{ref}' is multi-label: 40 attributes of each image. Write a csv with one of them as label."
        )
    if wanted in datasets.__all__:
        raise RefError(f"'{ref}': that data set gives no single label for an image, so it cannot be audited.")
    near = difflib.get_close_matches(wanted.lower(), [name.lower() for name in SETS], n=3, cutoff=0.5)
    nearest = [name for name in SETS if name.lower() in near] or list(SETS)
    raise RefError(f"torchvision has no labelled data set '{wanted}'. There are: {', '.join(nearest)}.")


def _chosen(ref: DataRef, arguments: Arguments, place: str) -> Arguments:
    """The split that the option ``train=`` or ``test=`` names in place of the usual one."""
    asked = ref.option(place)
    if asked and "split" not in arguments:
        raise RefError(f"'{ref}': this data set has no splits by name, so {place}= cannot choose one.")
    return {"split": asked} if asked else {}


def _made(kind: Any, arguments: Arguments, root: Path, ref: DataRef) -> MapStyle:
    """One side of the data set, from files that are there or that are fetched now."""
    known = inspect.signature(kind.__init__).parameters
    place = {"root": str(root)} if {"root", "kwargs"} & set(known) else {}
    attempts = [{"download": False}, {"download": True}] if {"download", "kwargs"} & set(known) else [{}]
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    for attempt in attempts[:1] if offline else attempts:
        _check_pickles(kind, root, ref)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a download prints
                made: MapStyle = kind(**place, **arguments, **attempt)
                return made
        except ImportError as error:
            raise DataError(f"'{ref}' needs the package {error.name}: pip install {error.name}") from error
        except Exception as error:  # each set has errors of its own for missing and damaged files
            problem = error
    reason = f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
    if "Unknown value" in reason:
        raise RefError(f"'{ref}': {problem}") from problem
    if not re.search("not found|not exist|No such file|download|URL|HTTP", reason):
        raise DataError(f"'{ref}': its files below '{root}' cannot be read ({reason}).") from problem
    why = "and offline mode is on" if offline else f"and cannot be fetched ({reason})"
    raise DataNotFound(
        f"'{ref}': its files ({_expected(kind)}) are not below '{root}' {why}. Put them there as "
        f"torchvision lays them out, or name their folder: torchvision,root=FOLDER:{ref.locator}"
    ) from problem


def _expected(kind: Any) -> str:
    """Two of the files that a data set is made of, as far as torchvision says."""
    if hasattr(kind, "train_list") and hasattr(kind, "base_folder"):
        return ", ".join(f"{kind.base_folder}/{entry[0]}" for entry in kind.train_list[:2])
    if hasattr(kind, "resources"):
        return ", ".join(f"{kind.__name__}/raw/{name.removesuffix('.gz')}" for name, _ in kind.resources[:2])
    return f"those of {kind.__name__}"


def _check_pickles(kind: Any, root: Path, ref: DataRef) -> None:
    """Raises ``DataError`` when a pickle of CIFAR is not the published file, byte for byte."""
    from torchvision.datasets.utils import check_integrity

    if not hasattr(kind, "meta") or not hasattr(kind, "train_list"):
        return
    files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    for name, md5 in files:
        path = root / kind.base_folder / name
        if not md5 or (path.exists() and not check_integrity(path, md5)):
            raise DataError(
                f"'{ref}': '{path}' is not the published file (its MD5 differs), and opening a pickle "
                "can run code. Remove it, so that it is fetched again."
            )
