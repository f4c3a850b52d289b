"""Data sets of Hugging Face ``datasets``: ``hf-datasets:NAME``, or a folder or parquet file here.

A folder is what ``save_to_disk`` wrote, or parquet, or one that ``load_dataset`` knows. What lies
here comes before a name on the hub. No code of a repository runs: images are taken as bytes and
decoded by ``sslaudit.data.decode``.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslaudit.data.assemble import assemble, parted, split_of
from sslaudit.data.dataset import Dataset
from sslaudit.data.decode import decode
from sslaudit.data.examine import examine_all
from sslaudit.data.labels import distinct
from sslaudit.data.multilabel import several_in_a_cell
from sslaudit.data.skips import Skips
from sslaudit.errors import DataError, DataNotFound
from sslaudit.refs import DataRef

_LABELS = ("label", "labels", "class", "target", "category")
"""Columns of whole numbers or texts that are taken as labels when there is no ``ClassLabel``."""


def open_hf(ref: DataRef) -> Dataset:
    """The splits of a data set by name or path.

    Raises ``DataNotFound`` when it is neither here nor to be had, and ``DataError`` when it is not
    clear which column or split is meant.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            f"'{ref}' needs the packages of the extra data: pip install 'sslaudit[data]'"
        ) from error
    path = Path(os.path.expanduser(ref.locator))
    with _quiet():
        try:
            loaded = _loaded(datasets, path, ref)
        except Exception as error:  # the library and the hub below it have dozens of kinds
            reason = " ".join(str(error).split())[:240]
            raise DataNotFound(f"'{ref}' cannot be loaded: {type(error).__name__}: {reason}") from error
    return open_loaded(loaded, ref)


def open_loaded(loaded: Any, ref: DataRef) -> Dataset:
    """The data set in a ``datasets.Dataset`` or ``DatasetDict`` of Python."""
    import datasets

    splits = _splits(loaded, ref)
    if any(not isinstance(part, datasets.Dataset) for part in splits.values()):
        raise DataError(f"'{ref}' is streamed, without rows by number. Load it with streaming=False.")
    first = next(iter(splits.values()))
    image, label = _image(first.features, ref), _label(first.features, ref)
    rows: list[tuple[Any, int]] = []
    names: list[str] = []
    classes: list[str | None] = []
    sides: list[str] = []
    columns: dict[str, list[str]] = {}
    for split, part in splits.items():
        if not {image, label or image} <= set(part.features):
            raise DataError(f"'{ref}': split '{split}' has other columns than the first one.")
        raw = part.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        rows += [(raw, i) for i in range(len(part))]
        names += [f"{split}/{i}" if len(splits) > 1 else str(i) for i in range(len(part))]
        classes += _classes(part, label, ref) if label else [None] * len(part)
        sides += [split] * len(part)
        for name in _plain(first.features, (image, label)):
            columns.setdefault(name, []).extend(_texts(part, name))

    def content(i: int) -> bytes:
        part, row = rows[i]
        return _bytes(part[row][image])

    skips = Skips()
    levels = int(text) if (text := ref.option("levels")) else None
    return assemble(
        ref=str(ref),
        read=lambda i: decode(content(i), levels),
        names=names,
        examined=examine_all(names, content, skips, f"'{ref}'", levels=levels),
        skips=skips,
        classes=classes,
        splits=sides if any(sides) else None,
        columns={name: cells for name, cells in columns.items() if len(cells) == len(names)},
        alone="The option train= without test= takes train alone, and 30 % of it is held out.",
    )


def _loaded(datasets: Any, path: Path, ref: DataRef) -> Any:
    config, revision = ref.option("config"), ref.option("revision")
    if path.is_file():
        return datasets.load_dataset("parquet", data_files=str(path))
    if any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return datasets.load_from_disk(str(path))
    if path.is_dir():
        return datasets.load_dataset(str(path), config)
    if ref.locator.startswith((".", "/", "~")) or ref.locator.endswith(".parquet"):
        raise FileNotFoundError(f"there is nothing at '{ref.locator}'")
    return datasets.load_dataset(ref.locator, config, revision=revision)


def _splits(loaded: Any, ref: DataRef) -> dict[str, Any]:
    """The parts to use by the side they are on: those asked for, else as they are called.

    With ``test`` alone asked for, train is what is called so.
    """
    asked = {side: name for side in ("train", "test") if (name := ref.option(side))}
    if not isinstance(loaded, Mapping):
        if asked:
            side, name = next(iter(asked.items()))
            raise DataError(f"'{ref}' has no splits, so {side}={name} chooses none. Leave it out.")
        return {"": loaded}
    held = ", ".join(loaded)
    for name in asked.values():
        if name not in loaded:
            raise DataError(f"'{ref}' has no split '{name}'. It has: {held}.")
    if asked.keys() == {"test"}:
        others = [name for name in loaded if split_of(name) == "train" and name != asked["test"]]
        if len(others) != 1:
            raise DataError(f"'{ref}' does not say what to fit on: add train=NAME. It has: {held}.")
        asked = {"train": others[0], **asked}
    if asked:
        return {side: loaded[name] for side, name in asked.items()}
    kinds = {split_of(name) for name in loaded}
    if len(loaded) > 1 and not parted(kinds):
        lacking = "one to report on is called test" if "train" in kinds else "one is called train"
        raise DataError(f"'{ref}' has the splits {held}, and n{lacking}. Say which: train=NAME,test=NAME.")
    return dict(loaded)


def _image(features: Mapping[str, Any], ref: DataRef) -> str:
    import datasets

    found = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    asked = ref.option("image")
    if asked in found:
        return asked
    if not found:
        kinds = ", ".join(
            f"{name}: {type(feature).__name__}" for name, feature in list(features.items())[:10]
        )
        raise DataError(f"'{ref}' has no column of images, one for each row. Its columns are {kinds}.")
    if asked:
        raise DataError(f"'{ref}': '{asked}' is no column of images. There is: {', '.join(found)}.")
    if len(found) > 1:
        raise DataError(f"'{ref}' has the image columns {', '.join(found)}. Say which: image={found[0]}.")
    return found[0]


def _label(features: Mapping[str, Any], ref: DataRef) -> str | None:
    """The column of labels, or None when there is none. Raises ``DataError`` for several labels a row."""
    import datasets

    asked = ref.option("label")
    if asked == "none":
        return None
    if asked and asked not in features:
        raise DataError(f"'{ref}' has no column '{asked}'. Its columns are: {', '.join(features)}.")
    found = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    if not asked and len(found) > 1:
        raise DataError(f"'{ref}' has the label columns {', '.join(found)}. Say which: label={found[0]}.")
    name = asked or (
        found[0] if found else next((name for name in features if name.lower() in _LABELS), None)
    )
    if name is None:
        return None
    feature = features[name]
    if isinstance(feature, datasets.ClassLabel):
        return name
    if not isinstance(feature, datasets.Value):
        raise DataError(
            f"'{ref}' is multi-label: column '{name}' is a {type(feature).__name__}. An image has one class "
            "here; name another column with label=, or label=none."
        )
    if not feature.dtype.startswith(("int", "uint", "bool", "string", "large_string")):
        raise DataError(
            f"'{ref}': column '{name}' holds {feature.dtype}, which are no classes; label=none leaves it."
        )
    return name


def _classes(part: Any, label: str, ref: DataRef) -> list[str | None]:
    """One class name for each row; -1, nothing and an empty text mean no label."""
    values = part.select_columns([label]).with_format(None)[label][:]
    titles = distinct(part.features[label].names) if hasattr(part.features[label], "names") else None
    if titles is not None:
        return [None if value is None or value < 0 else titles[value] for value in values]
    whole = part.features[label].dtype.startswith("int")
    texts = ["" if value is None or (whole and value == -1) else str(value).strip() for value in values]
    if several := several_in_a_cell(texts):
        raise DataError(f"'{ref}', column '{label}': {several}")
    return [text or None for text in texts]


def _plain(features: Mapping[str, Any], used: Sequence[str | None]) -> Iterator[str]:
    """Columns of one text or number a row."""
    import datasets

    kinds = (datasets.Value, datasets.ClassLabel)
    yield from (name for name, feature in features.items() if name not in used and isinstance(feature, kinds))


def _texts(part: Any, name: str) -> list[str]:
    if name not in part.features:
        return []
    feature, values = part.features[name], part.select_columns([name]).with_format(None)[name][:]
    if hasattr(feature, "names"):
        return ["" if value is None or value < 0 else feature.names[value] for value in values]
    return ["" if value is None else str(value) for value in values]


def _bytes(cell: Mapping[str, Any] | None) -> bytes:
    if cell is None:
        raise DataError("no image in this row")
    if cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    path = str(cell.get("path"))
    if "://" in path:
        raise DataError("its file is not on this machine")
    return Path(path).read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of the library while it loads."""
    import datasets

    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
