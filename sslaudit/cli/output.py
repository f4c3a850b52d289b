"""The output folder: tried before any work, left as it was when nothing came of it, no card lost in it."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from sslaudit.errors import CardError, OutputError, UsageError
from sslaudit.plan import make_plan

if TYPE_CHECKING:
    from sslaudit.registry import Registry
    from sslaudit.settings import Settings

_LONGEST = 80
_PLAIN = re.compile(rf"[ -~]{{1,{_LONGEST}}}")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]|conin|conout|clock)(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever ending they have."""

_DIGITS = 6
"""Of the digest, where a name alone does not tell references apart; doubled while names are alike."""


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
    """One folder for each encoder, below ``output``; ``suffix`` ends every name.

    Names are of ASCII letters, digits, ``.``, ``_`` and ``-``, short enough for every file system, none is
    one that Windows keeps for itself, and no two differ in case alone. A reference that is too long, or no
    printable ASCII, has a piece of its digest behind its name always; any other has it only beside one that
    would get the same folder, so paths stay short. A card that lies in a folder already is guarded by
    ``refuse_other_cards``.
    """
    if twice := next((ref for ref in refs if refs.count(ref) > 1), None):
        raise UsageError(f"an encoder is named twice: '{twice}'.")
    digits = [0 if _PLAIN.fullmatch(ref) else _DIGITS for ref in refs]
    while True:
        names = [_name(ref, count, suffix) for ref, count in zip(refs, digits, strict=True)]
        folded = Counter(name.lower() for name in names)
        alike = [place for place, name in enumerate(names) if folded[name.lower()] > 1]
        if not alike:
            return [output / name for name in names]
        for place in alike:
            digits[place] = digits[place] * 2 or _DIGITS


def _name(ref: str, digits: int, suffix: str) -> str:
    name = _UNUSUAL.sub("-", ref)[-_LONGEST:].strip("-.") or "encoder"
    if _RESERVED.match(name):
        name = f"encoder-{name}"
    digest = hashlib.sha256(ref.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    return "-".join(filter(None, (name, digest, suffix)))


def refuse_other_cards(
    cards: Mapping[Path, str], data: str, settings: "Settings", registry: "Registry", *, references: bool
) -> None:
    """Raises ``CardError`` for a folder whose card would be lost: that of another encoder or data set, of
    other choices, or one that says more than this run would.

    ``cards`` are references of encoders by the folders of their cards; ``references`` says whether the run
    has any to compare with.
    """
    from sslaudit.report.card import utf8

    for folder, ref in cards.items():
        path = folder / "card.json"
        if not path.is_file():
            continue
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
            held = (card["encoder"]["ref"], card["data"]["ref"])
            if held == (utf8(ref), utf8(data)):
                lost = next(_lost(card, settings, registry, references=references), "")
            else:
                lost = f"holds the card of {held[0]} on {held[1]}"
        except (OSError, ValueError, KeyError, TypeError):
            raise CardError(f"'{path}' is no report card; write --overwrite to replace it.") from None
        if lost:
            raise CardError(f"'{path}' {lost}; write --overwrite to replace it, or another --output.")


def _lost(
    card: Mapping[str, Any], settings: "Settings", registry: "Registry", *, references: bool
) -> Iterator[str]:
    """What a card has that one of ``settings`` would not have."""
    from sslaudit.passes import USUAL
    from sslaudit.recipes import parse_recipe
    from sslaudit.report.phrases import listed

    data, suite = card["data"], settings.suite.label if settings.suite else None
    if card["suite"] != suite:
        yield f"is of the suite {card['suite']}" if card["suite"] else "is of no suite"
    planned = {metric.term for metric in make_plan(registry, settings.metrics, space=settings.space).metrics}
    if more := dict.fromkeys(m["term"] for m in card["metrics"] if m["term"] not in planned):
        yield f"has metrics that this run would not have, {listed(list(more))}"
    if card.get("shift") and settings.shift is None:
        yield f"also tells of a shift to {card['shift']['ref']}"
    if card.get("references") and not references:
        yield "is also compared with references"
    if data["seed"] != settings.seed:
        yield f"is of --seed {data['seed']}"
    if settings.max_images is not None and data["images"] > settings.max_images:
        yield f"is of {data['images']:,} images"
    if data["views"] == 1:
        return
    for option, name in (("views", "--views"), ("views_mode", "--views-mode")):
        if data[option] != getattr(settings, option):
            yield f"is of {name} {data[option]}"
    text = settings.recipe
    if text == "auto":
        text = card["encoder"]["facts"].get("recipe", USUAL)
    if parse_recipe(text, registry.recipes.usable()).key() != data["recipe"]:
        yield f"is of --recipe {data['recipe']}"
