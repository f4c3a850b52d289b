"""``evaluate --reference``: encoders trained here on the same data, and what they say of the others."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sslaudit.audit import Line
from sslaudit.comparison import check_comparable
from sslaudit.comparison.choice import on_plain_images
from sslaudit.data import Dataset
from sslaudit.errors import CardError, EncoderError, SslauditError, UsageError
from sslaudit.extraction import Progress
from sslaudit.loading import load_encoder
from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry
from sslaudit.report.card import ReportCard
from sslaudit.report.phrases import plural
from sslaudit.report.progress import Meter, clock
from sslaudit.report.referenced import ReferenceRecord
from sslaudit.report.samples import paired_difference, scored_by
from sslaudit.train.log import Epoch
from sslaudit.train.reference import PlannedReference, Reference, plan_reference, read_reference, trained
from sslaudit.world import World

Done = list[tuple[ReportCard, Path]]


def read_references(
    texts: Sequence[str], registry: Registry, *, data: str | None, world: World
) -> list[tuple[Reference, str]]:
    """What ``--reference`` names, each with a name for its folder: that of its method, with its options where
    a method is named twice. Raises ``UsageError`` or ``RefError`` before any work.
    """
    if data is None:
        raise UsageError("--reference trains on the data of the run, and goes with --data.")
    if world.size > 1:
        raise UsageError(
            f"--reference trains in one process, and torchrun started {world.size}. Run it once without "
            "torchrun: the reference is kept, and its file can be named like any other encoder."
        )
    references = [read_reference(text, registry) for text in texts]
    if len({reference.ref for reference in references}) != len(references):
        raise UsageError("a reference is named twice.")
    methods = [reference.spec.name for reference in references]
    return [
        (one, f"reference:{one.spec.name if methods.count(one.spec.name) == 1 else one.term}")
        for one in references
    ]


def add_references(
    done: Done,
    wanted: Sequence[tuple[Reference, Path]],
    line: Line,
    data: Dataset,
    meter: Meter,
    write: Callable[[ReportCard, Path], None],
) -> list[str]:
    """The card of each reference behind those in ``done``, which get a line for it and are written anew.

    Returns why references have no card, a sentence each.
    """
    failures: list[str] = []
    users = len(done)
    for reference, place in wanted:
        try:
            card, what = _card(
                reference, line, data, meter, recipe_for(line, [card for card, _ in done[:users]])
            )
        except SslauditError as error:
            failures.append(f"{reference}: {error}")
            continue
        for i, (theirs, folder) in enumerate(done[:users]):
            theirs = replace(theirs, references=(*theirs.references, compared(theirs, card, what)))
            write(theirs, folder)
            done[i] = theirs, folder
        write(card, place)
        done.append((card, place))
    return failures


def compared(card: ReportCard, reference: ReportCard, what: str) -> ReferenceRecord:
    """What ``card`` says of a reference: its leading accuracy there, and how far above it is itself.

    ``what`` tells in a few words how the reference was trained.
    """
    encoder, leading = reference.encoder, card.leading
    record = ReferenceRecord(ref=encoder.ref, what=what, digest=encoder.digest)
    try:
        check_comparable(on_plain_images((card, reference)))
    except CardError as error:
        return replace(record, reason=str(error).rstrip("."))
    if leading is None:
        return replace(record, reason="no accuracy was measured")
    same = (one for one in reference.metrics if (one.row, one.space) == (leading.row, leading.space))
    if (theirs := next(same, None)) is None or theirs.value is None:
        return replace(record, reason=f"{leading.row} has no value on it")
    record = replace(
        record,
        term=leading.row,
        summary=leading.summary + (" on projection z" if leading.space == "projection" else ""),
        balanced=bool(leading.details.get("balanced")),
        value=theirs.value,
        interval=theirs.interval,
    )
    if not (name := scored_by(leading.row, card.samples, reference.samples)):
        return replace(record, reason=f"{leading.row} says nothing of single images")
    try:
        found = paired_difference(card.samples, reference.samples, name, card.samples.get("class"))
    except ValueError as error:
        return replace(record, reason=str(error))
    return replace(record, difference=found[0], difference_interval=found[1])


def recipe_for(line: Line, cards: Sequence[ReportCard]) -> str | None:
    """What all cards were seen with, so that a reference is no worse for its views; else the run's."""
    seen = {card.data.recipe for card in cards}
    if line.settings.recipe == "auto" and len(seen) == 1:
        return seen.pop()
    return None if line.settings.recipe == "auto" else line.settings.recipe


def planned(reference: Reference, line: Line, data: Dataset, recipe: str | None) -> PlannedReference:
    """The reference with every choice made. Raises ``TrainingError``."""
    settings = line.settings
    return plan_reference(
        reference,
        data,
        recipe=recipe,
        seed=settings.seed,
        device=line.device,
        named=line.registry.recipes.usable(),
    )


def _card(
    reference: Reference, line: Line, data: Dataset, meter: Meter, recipe: str | None
) -> tuple[ReportCard, str]:
    """Trains or finds the encoder, and audits it like any other; beside its card, how it was trained."""
    meter.start(str(reference))
    choice, course = planned(reference, line, data, recipe), _Course(reference, meter)
    with line.cache() as cache:
        path, header = trained(
            choice,
            data,
            cache=cache,
            named=line.registry.recipes.usable(),
            on_epoch=course.epoch,
            on_step=course.step,
            on_message=meter.say,
        )
        # What was given of preprocessing is of the encoders that were named; a reference has its own.
        encoder = load_encoder(EncoderRef("file", str(path)), device=line.device, registry=line.registry)
        if line.settings.space == "projection" and encoder.project is None:
            raise EncoderError("it trains no projector, and --space projection scores what one gives.")
        meter.start(str(reference))
        network, epochs = f"{header.backbone} at {header.size} px", plural(header.epochs, "epoch", "epochs")
        sentence = (
            f"{header.method} trained here on the {header.images:,} training images of {header.data}, labels "
            f"unseen: {network}, {epochs}, recipe {header.recipe}, seed {header.seed}"
        )
        card = line.run(replace(encoder, facts={**encoder.facts, "reference": sentence}), data)
    named = replace(card, encoder=replace(card.encoder, ref=reference.ref))
    return named, f"{header.method} trained here ({network}, {epochs}, {header.recipe})"


class _Course:
    """Shows where a training stands, and says after the first epoch how long the others will take."""

    def __init__(self, reference: Reference, meter: Meter) -> None:
        self._reference, self._meter = reference, meter
        self._before: int | None = None
        self._said = False

    def step(self, done: int, total: int) -> None:
        """After a step."""
        if self._before is None:
            self._before = done - 1
        self._meter.update(Progress(done=done, total=total, cached=self._before), unit="steps")

    def epoch(self, epoch: Epoch) -> None:
        """After an epoch."""
        left = epoch.epochs - epoch.number
        if left and not self._said:
            rest = plural(left, "more epoch", "more epochs")
            self._meter.say(f"{self._reference}: about {clock(left * epoch.seconds)} for {rest}.")
        self._said = True
