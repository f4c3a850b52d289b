"""How a file names the encoder that it stands on, and how that encoder is found again."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sslaudit.encoder import Encoder
from sslaudit.refs import EncoderRef, is_path_like
from sslaudit.train.refined import base_named_in

TRUST = frozenset({"trust-pickle", "trust-remote-code"})
"""Options of a reference that only a person gives: a file neither keeps them nor is heard about them."""


def named_from(file: Path, base: EncoderRef, encoder: Encoder) -> EncoderRef:
    """``base`` as ``file`` names it: a path starts from the folder of the file, where it can.

    ``encoder`` is what was loaded from ``base``.
    """

    def name(target: EncoderRef) -> EncoderRef:
        return replace(target, options=_untrusted(target), locator=_seen_from(file, target, encoder))

    return _at_target(base, name)


def found_from(file: Path, base: EncoderRef, *, trusted: tuple[tuple[str, str], ...] = ()) -> EncoderRef:
    """``base`` as it is found, when ``file`` names it; with the options of ``TRUST`` that a person gave.

    Paths start from the folder of the file, or of the file that it is a link to.
    """

    def find(target: EncoderRef) -> EncoderRef:
        found = replace(target, options=(*_untrusted(target), *trusted))
        if not target.locator.startswith(("./", "../")):
            return found
        folders = os.path.realpath(file.parent), os.path.dirname(os.path.realpath(file))
        places = [os.path.normpath(os.path.join(folder, target.locator)) for folder in folders]
        return replace(found, locator=next(filter(os.path.exists, places), places[0]))

    return _at_target(base, find)


def files_below(base: EncoderRef) -> list[Path]:
    """The files that ``base`` stands on: its own first, then that of the encoder below, if it is refined."""
    files: list[Path] = []
    while (path := Path(os.path.expanduser(base.target().locator))).is_file() and path not in files:
        files.append(path)
        named = base_named_in(path)
        if named is None:
            break
        base = found_from(path, EncoderRef.parse(named))
    return files


def _seen_from(file: Path, target: EncoderRef, encoder: Encoder) -> str:
    """The locator of ``target`` from the folder of ``file``; as it is when it names nothing local."""
    path = Path(os.path.expanduser(target.locator))
    local = target.scheme == "file" or encoder.facts.get("source") == "local file"
    if not ((local or is_path_like(target.locator)) and path.exists()):
        return target.locator
    here = os.path.join(os.path.realpath(path.parent), path.name)
    try:
        there = Path(os.path.relpath(here, os.path.realpath(file.parent))).as_posix()
    except ValueError:  # on another drive
        return here
    return there if there.startswith("../") else f"./{there}"


def _untrusted(target: EncoderRef) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in target.options if pair[0] not in TRUST)


def _at_target(ref: EncoderRef, change: Callable[[EncoderRef], EncoderRef]) -> EncoderRef:
    """``ref`` changed; of an untrained copy, what it is the copy of."""
    if ref.target() is ref:
        return change(ref)
    return replace(ref, locator=str(_at_target(EncoderRef.parse(ref.locator), change)))
