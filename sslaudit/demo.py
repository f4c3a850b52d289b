"""The whole story on embedded data: train two encoders, audit them beside their untrained control.

Nothing is canned: every number is computed in this run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sslaudit.audit import Line
from sslaudit.comparison import paired_difference
from sslaudit.data import Dataset
from sslaudit.errors import EncoderError, TrainingError
from sslaudit.extraction import OnProgress
from sslaudit.loading import load_encoder
from sslaudit.registry import Registry
from sslaudit.report.card import ReportCard, write_card
from sslaudit.report.html import write_page
from sslaudit.results import Interval
from sslaudit.settings import Settings
from sslaudit.train.choices import Choices
from sslaudit.train.loop import train

METHODS = ("simclr", "barlow-twins")
METRICS = (
    "few-shot(k=3),nearest-centre,knn,linear-probe,alignment,divergence,theorem1,embedding-map,"
    "spectrum,uniformity,neural-collapse,invariance,ci-condition,downstream-sufficiency"
)
RECIPE = "crop(scale=0.6)+color"
"""Digits are chiral, so no flip; they are read by their whole shape, so no small crop."""
LEADS = ("few-shot", "nearest-centre")
"""What the trained encoders must be ahead in, the telling one first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A trained encoder minus the control, paired by image."""

    encoder: str
    term: str
    value: float
    interval: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What the demo found."""

    names: tuple[str, ...]
    cards: tuple[ReportCard, ...]
    pages: tuple[Path, ...]
    """Where the page of each card lies."""
    differences: tuple[Difference, ...]
    refusal: str
    """What loading the broken checkpoint answered."""


def run(
    registry: Registry,
    output: Path,
    *,
    say: Callable[[str], None],
    on_progress: OnProgress | None = None,
) -> Story:
    """Train, audit and compare on the embedded digits; checkpoints and cards are left in ``output``."""
    line = Line(registry, Settings(metrics=METRICS), on_progress=on_progress)
    data = line.open("digits")
    files = {method: output / f"{method}.pt" for method in METHODS}
    for method, file in files.items():
        say(f"training {method} on {len(data.train):,} digits, labels unseen ...")
        _train(registry, method, data, file, line.device, say)
    refs = {method: str(file) for method, file in files.items()}
    refs["untrained"] = f"untrained:{files['simclr']}"
    say("auditing both and their untrained copy on the held-out digits ...")
    cards, pages = [], []
    for name, ref in refs.items():
        card = line.run(load_encoder(ref, device=line.device, registry=registry), data)
        write_card(card, output / name)
        cards.append(card)
        pages.append(output / name / "card.html")
        write_page(card, pages[-1])
    differences = [
        Difference(encoder=name, term=term, value=value, interval=interval)
        for name, card in zip(METHODS, cards[:-1], strict=True)
        for term in LEADS
        for value, interval in [paired_difference(card, cards[-1], term)]
    ]
    return Story(
        names=tuple(refs),
        cards=tuple(cards),
        pages=tuple(pages),
        differences=tuple(differences),
        refusal=_refusal(files["simclr"], output / "broken.pt", registry),
    )


def _train(
    registry: Registry, method: str, data: Dataset, file: Path, device: str, say: Callable[[str], None]
) -> None:
    train(
        registry.methods.get(method),
        data,
        output=file,
        overwrite=True,
        named=registry.recipes.usable(),
        choices=Choices(size=8, recipe=RECIPE, epochs=60, batch_size=128, lr=3e-3),
        device=device,
        on_message=say,
    )


def _refusal(good: Path, broken: Path, registry: Registry) -> str:
    """Damage a checkpoint the way careless prefix handling does, and try to load it."""
    content = torch.load(good, map_location="cpu", weights_only=True)
    content["backbone"] = {name.lstrip("0."): tensor for name, tensor in content["backbone"].items()}
    torch.save(content, broken)
    try:
        load_encoder(str(broken), registry=registry)
    except EncoderError as error:
        return str(error)
    raise TrainingError(f"'{broken}' was made to be refused and was loaded.")
