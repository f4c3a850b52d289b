"""``sslaudit evaluate``: the report card of one or more encoders on one data set."""

import shlex
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.cli.options import (
    AllowPartial,
    Crop,
    Mean,
    Offline,
    References,
    Resize,
    Size,
    Std,
    TrustPickle,
    TrustRemoteCode,
    go_offline,
    read_override,
    with_flags,
)
from sslaudit.cli.output import folders, prepared, refuse_other_cards
from sslaudit.cli.sources import announce
from sslaudit.cli.suites import chosen_suite, given
from sslaudit.errors import EncoderError, UsageError
from sslaudit.named import expand
from sslaudit.refs import DataRef, EncoderRef
from sslaudit.world import World

if TYPE_CHECKING:
    from sslaudit.encoder import Override
    from sslaudit.registry import Registry
    from sslaudit.report.card import ReportCard
    from sslaudit.settings import Settings
    from sslaudit.train.reference import Reference

    Wanted = tuple[Reference, Path]


class Format(StrEnum):
    """What stdout carries."""

    table = "table"
    json = "json"


class Space(StrEnum):
    """What the metrics read."""

    embedding = "embedding"
    projection = "projection"


class ViewsMode(StrEnum):
    """Whose transforms the views use."""

    per_image = "per-image"
    bank = "bank"


_OF_DATA = ("metrics", "space", "recipe", "views", "views_mode", "seed", "max_images", "per_class", "group")
"""Options that say nothing without data."""


@guarded
def evaluate(
    context: typer.Context,
    refs: Annotated[list[str], typer.Argument(metavar="REF...", help="Checkpoint files, or SCHEME:NAME.")],
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="DATA", help="A folder of images, or SCHEME:NAME (list datasets)."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="A protocol that chooses the rest (list suites)."),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Metrics by name, with options: knn(k=20,T=0.07),alignment.")
    ] = None,
    space: Annotated[
        Space, typer.Option(help="Score embeddings, or what the checkpoint's projector makes of them.")
    ] = Space.embedding,
    recipe: Annotated[
        str,
        typer.Option(help="Augmentation: a name, or terms such as crop+flip; auto takes the encoder's own."),
    ] = "auto",
    views: Annotated[int, typer.Option(help="Views of each image, the plain one included.")] = 8,
    views_mode: Annotated[
        ViewsMode, typer.Option(help="Each image draws its own transforms, or all share one bank.")
    ] = ViewsMode.per_image,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    max_images: Annotated[
        int | None, typer.Option(help="At most so many images, in proportion to the classes.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option(help="At most so many images of each class and split.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|REGEX",
            help="Images of one group stay on one side of the split: a column, or an expression in names.",
        ),
    ] = None,
    anchors: Annotated[
        bool,
        typer.Option(help="Measure raw pixels and an untrained copy beside each encoder."),
    ] = True,
    shift: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Test the probes on these images too: other data of the same classes."
        ),
    ] = None,
    reference: References = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, fp16; auto goes below fp32 where that is faster and close.")
    ] = "auto",
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the encoder: pays off on many thousand images.")
    ] = False,
    batch_size: Annotated[str, typer.Option(help="Views in one forward pass: a number, or auto.")] = "auto",
    workers: Annotated[str, typer.Option(help="Threads that decode images: a number, or auto.")] = "auto",
    output: Annotated[Path, typer.Option(help="Folder for the cards, one folder for each encoder.")] = Path(
        "reports"
    ),
    format_: Annotated[Format, typer.Option("--format", help="What to print.")] = Format.table,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write card.html beside card.json.")] = True,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for features (default: the user's cache).")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no features.")] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace a card of other choices, or one that says more."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be scored and trained, and stop.")
    ] = False,
    allow_partial: AllowPartial = False,
    trust_pickle: TrustPickle = False,
    trust_remote_code: TrustRemoteCode = False,
    offline: Offline = False,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    interpolation: Resize = None,
    crop: Crop = None,
) -> int:
    """Audit encoders on your data: did it load, is it any good, what holds it back.

    Several encoders end in one table, which names the cheapest of the best; references stand in it too.
    Up to three cards are printed whole; of more, their paths.
    """
    go_offline(offline)
    found = registry()
    protocol = chosen_suite(context, suite)
    data = protocol.data if data is None and protocol is not None else data
    parsed = with_flags(
        [EncoderRef.parse(expand(ref)) for ref in refs],
        found,
        allow_partial=allow_partial,
        trust_pickle=trust_pickle,
        trust_remote_code=trust_remote_code,
    )
    world = World.from_environment()
    suffix = "projection" if space is Space.projection else ""
    references = []
    if reference:
        from sslaudit.cli.reference import read_references

        references = read_references(reference, found, data=data, world=world)
    texts = [str(ref) for ref in parsed]
    places = folders(output, [*texts, *(name for _, name in references)], suffix)
    places, theirs = places[: len(texts)], places[len(texts) :]
    wanted = [(one, folder) for (one, _), folder in zip(references, theirs, strict=True)]
    override = read_override(size, mean, std, interpolation, crop)
    if data is None:
        if shift is not None:
            raise UsageError("--shift names other data to test on, and goes with --data.")
        announce(parsed, found)
        return _audit_only(parsed, override, found, given(context, _OF_DATA))
    with nullcontext() if world.rank else prepared(output):
        from sslaudit.settings import Settings

        settings = Settings(
            suite=protocol,
            metrics=metrics,
            space=space.value,
            recipe=recipe,
            views=views,
            views_mode=views_mode.value,
            seed=seed,
            device=device,
            precision=precision,
            compiled=compile_,
            batch_size=_number("--batch-size", batch_size),
            workers=_number("--workers", workers),
            max_images=max_images,
            per_class=per_class,
            group=group,
            shift=shift,
            anchors=anchors,
            cache=False if no_cache else cache,
            override=override,
        )
        if not overwrite:
            cards = dict(zip(places, texts, strict=True)) | {folder: one.ref for one, folder in wanted}
            refuse_other_cards(cards, str(DataRef.parse(data)), settings, found, references=bool(wanted))
        announce(parsed, found)
        if dry_run:
            return _say_plan(found, settings, parsed, data, places, wanted)
        try:
            done, code = _run(found, settings, parsed, data, places, wanted, html, world)
        except KeyboardInterrupt:
            if not no_cache:
                complain("features so far are kept: the same command goes on where it stopped.")
            raise
    if not world.rank:
        from sslaudit.cli.closing import show, show_json

        if format_ is Format.json:
            show_json(done)
        else:
            show(done, "card.html" if html else "card.json")
    return max(code, int(any(card.failed_checks or card.problems for card, _ in done)))


def _run(
    found: "Registry",
    settings: "Settings",
    refs: list[EncoderRef],
    data: str,
    places: list[Path],
    wanted: "list[Wanted]",
    html: bool,
    world: World,
) -> tuple[list[tuple["ReportCard", Path]], int]:
    """A card for each reference, written as soon as it is there, and the exit code of those without."""
    from sslaudit.audit import Line
    from sslaudit.extraction import together
    from sslaudit.report.card import write_card
    from sslaudit.report.html import write_page
    from sslaudit.report.progress import Meter

    def write(card: "ReportCard", folder: Path) -> None:
        write_card(card, folder)
        if html:
            write_page(card, folder / "card.html")

    done: list[tuple[ReportCard, Path]] = []
    failures: list[EncoderError] = []
    untrained: list[str] = []
    with Meter(silent=world.rank > 0) as meter:
        line = Line(
            found,
            settings,
            on_progress=meter.update,
            on_message=meter.say,
            on_metric=lambda term: meter.wait(f"measuring {term}"),
            world=world,
        )
        dataset = None
        with together(world):
            for ref, folder in zip(refs, places, strict=True):
                try:
                    encoder = line.load(ref)
                except EncoderError as error:  # the others are still worth their cards
                    failures.append(error)
                    continue
                if dataset is None:
                    meter.wait(f"opening {data}")
                    dataset = line.open(data)
                meter.start(str(ref))
                if world.rank:
                    line.assist(encoder, dataset)
                    continue
                card = line.run(encoder, dataset)
                write(card, folder)
                done.append((card, folder))
        if wanted and done and dataset is not None:
            from sslaudit.cli.reference import add_references

            untrained = add_references(done, wanted, line, dataset, meter, write)
    for failure in (*failures, *untrained):
        complain(f"error: {failure}")
    return done, max((*(failure.exit_code for failure in failures), int(bool(untrained))))


def _say_plan(
    found: "Registry",
    settings: "Settings",
    refs: list[EncoderRef],
    data: str,
    places: list[Path],
    wanted: "list[Wanted]",
) -> int:
    """What would be done, a line each on stdout."""
    from sslaudit.audit import Line
    from sslaudit.report.phrases import plural

    line = Line(found, settings)
    dataset = line.open(data)
    names = ", ".join(dict.fromkeys(metric.term for metric in line.plan.metrics))
    typer.echo(f"on {data}, {plural(len(dataset), 'image', 'images')}: {names}")
    for ref, folder in zip(refs, places, strict=True):
        typer.echo(f"{folder}: {ref}")
    if wanted:
        from sslaudit.cli.reference import planned, recipe_for

        for reference, folder in wanted:
            typer.echo(f"{folder}: {planned(reference, line, dataset, recipe_for(line, []))}")
        if settings.recipe == "auto":
            typer.echo("Where the cards share another recipe, references are trained with that one.")
    return 0


def _audit_only(refs: list[EncoderRef], override: "Override", found: "Registry", unused: list[str]) -> int:
    """Without data there is no score: the load audit, and what to type next, ``unused`` options with it."""
    from sslaudit.loading import load_encoder
    from sslaudit.report.inspection import inspection, page
    from sslaudit.report.terminal import console

    for ref in refs:
        if ref is not refs[0]:
            console().print()
        console().print(page(inspection(load_encoder(ref, override=override, registry=found))))
    options = ", ".join(word for word in unused[::2])
    also = f", and {options} had no effect" if options else ""
    complain(
        f"nothing was scored{also}: there is no --data. Give a folder of yours, or try the embedded digits:"
    )
    words = [*(str(ref) for ref in refs), "--data", "digits", *unused]
    complain(f"  sslaudit evaluate {shlex.join(words)}")
    return UsageError.exit_code


def _number(option: str, text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal():
        raise UsageError(f"{option} {text} is neither a number nor auto.")
    return int(text)
