"""The output folder: tried before any work, and left as it was when nothing came of it."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from sslaudit.errors import CardError, OutputError, UsageError


@contextmanager
def prepared(output: Path) -> Iterator[None]:
    """A folder that can be written. Raises ``OutputError`` before any work when it cannot."""
    there = output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise OutputError(f"cannot write to --output {output}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        if not there:
            with suppress(OSError):  # it is kept when something was written into it
                output.rmdir()


def folders(output: Path, refs: Sequence[str], suffix: str = "") -> list[Path]:
    """One folder for each encoder, named so that every file system takes it; ``suffix`` ends every name."""
    if len(set(refs)) != len(refs):
        raise UsageError("an encoder is named twice.")
    names = [re.sub(r"[^A-Za-z0-9._-]+", "-", ref)[-80:].strip("-.") or "encoder" for ref in refs]
    unique = [
        f"{name}-{hashlib.sha256(ref.encode('utf-8', 'surrogateescape')).hexdigest()[:6]}"
        if names.count(name) > 1
        else name
        for name, ref in zip(names, refs, strict=True)
    ]
    return [output / (f"{name}-{suffix}" if suffix else name) for name in unique]


def refuse_other_cards(folders: Sequence[Path], refs: Sequence[str], data: str) -> None:
    """Raises ``CardError`` when a folder holds the card of another encoder or data set."""
    for folder, ref in zip(folders, refs, strict=True):
        path = folder / "card.json"
        if not path.is_file():
            continue
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            held = (card["encoder"]["ref"], card["data"]["ref"])
        except (OSError, ValueError, KeyError, TypeError):
            raise CardError(f"'{path}' is no report card; write --overwrite to replace it.") from None
        if held != (ref, data):
            raise CardError(
                f"'{path}' holds the card of {held[0]} on {held[1]}; "
                "write --overwrite to replace it, or another --output."
            )
