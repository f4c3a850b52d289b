"""The sentences of a card, shared by all renderings.

Words come from checks and verdicts, never from a score.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sslaudit.errors import RefError
from sslaudit.numbers import number
from sslaudit.refs import EncoderRef
from sslaudit.report.anchored import against, is_above
from sslaudit.report.card import EncoderRecord, LoadRecord, MetricRecord, PreprocessRecord, ReportCard
from sslaudit.report.phrases import count, cut, listed, percent, plural
from sslaudit.report.referenced import reference_line
from sslaudit.report.shifted import shift_lines

_CAPITALS = {
    "finite": "NOT FINITE",
    "non-constant": "COLLAPSED",
    "rank": "COLLAPSED",
    "projections": "COLLAPSED",
    "deterministic": "NOT DETERMINISTIC",
    "batch-invariant": "NOT DETERMINISTIC",
    "buffers": "NOT DETERMINISTIC",
}


_TRUSTED = {
    "trust-pickle": "opened with trust-pickle=yes: opening a pickle runs whatever code it holds",
    "trust-remote-code": "opened with trust-remote-code=yes: code of its repository ran",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a card's table."""

    label: str
    term: str
    value: str
    interval: str
    extra: str
    record: MetricRecord
    paper: str = ""
    """The paper's word, where the label is a plainer one."""


def title(card: ReportCard) -> tuple[str, str, str]:
    """The reference, what it turned out to be, and on which data."""
    encoder, data = card.encoder, card.data
    method = f"{encoder.facts['method']}, " if "method" in encoder.facts else ""
    what = f"{method}{encoder.name}, {encoder.dim}-d, {count(encoder.parameters)} parameters"
    classes = f", {plural(len(data.classes), 'class', 'classes')}" if data.classes else ", no labels"
    tested = f", tested on {data.splits['test']:,} held out" if data.classes and data.splits["test"] else ""
    return (
        encoder.ref,
        what,
        f"on {cut(data.ref, 40)}: {plural(data.images, 'image', 'images')}{classes}{tested}",
    )


def headline(card: ReportCard, speakers: Sequence[MetricRecord] | None = None) -> list[tuple[str, str]]:
    """The lines in capitals with their sentence: loaded, healthy, and the reason when a check failed.

    ``speakers`` are the metrics whose own lines are wanted; all of the card when not given.
    """
    load = card.encoder.load
    failed = {check.name: check for check in card.failed_checks}
    if "load" in failed:
        part = f"; from '{cut(load.branch, 40)}' of the file" if load.branch else ""
        lines = [(brand(card.encoder), f"{failed['load'].message}{part}{_others(load)}")]
    else:
        lines = [("LOADED", _load_sentence(card))]
    epochs, _, unfinished = card.encoder.facts.get("epoch", "").partition(", ")
    if unfinished:
        lines.append(("UNFINISHED", f"training stopped after epoch {epochs}"))
    if "reference" in card.encoder.facts:
        lines.append(("REFERENCE", card.encoder.facts["reference"]))
    lines.append(("HEALTHY" if not failed else "CHECKS", f"{health(card)} checks"))
    for check in card.failed_checks:
        if check.name != "load":
            lines.append((_CAPITALS.get(check.name, "FAILED"), check.message))
    if not failed:
        lines.extend(_accuracy(card))
        lines += map(reference_line, card.references)
        lines += _said_by_metrics(card, card.metrics if speakers is None else speakers)
        lines += shift_lines(card.shift) if card.shift else []
    lines += [("WARNING", c.message) for c in card.checks if c.status == "warn" and c.name != "control"]
    lines += [("WARNING", sentence) for sentence in trusted(card.encoder)]
    lines += _recipe_not_its_own(card)
    for assumption in load.assumptions:
        lines.append(("ASSUMED", assumption))
    return lines


def not_checked(card: ReportCard) -> list[str]:
    """What the card does not speak about, so that nobody takes silence for a pass."""
    encoder, data = card.encoder, card.data
    looked_for = [check for check in card.checks if check.name == "duplicates"]
    unseen = not looked_for or "not looked for" in looked_for[0].message
    here = encoder.facts.get("training data digest") == data.digest
    return [
        "fine-tuning",
        *(["other domains (--shift DATA)"] if card.shift is None or not card.shift.readings else []),
        *(["near-duplicates across the split"] if unseen and data.classes and data.splits["test"] else []),
        *(
            ["overlap of these images with the pretraining data"]
            if not here and "weights" not in encoder.facts
            else []
        ),
    ]


def failure(card: ReportCard) -> tuple[str, str] | None:
    """The word in capitals and the message of the first check that failed; None where none did."""
    failed = next(iter(card.failed_checks), None)
    if failed is None:
        return None
    if failed.name == "load":
        return "PARTIAL" if card.encoder.load.missing else "NOT LOADED", failed.message
    return _CAPITALS.get(failed.name, "FAILED"), failed.message


def health(card: ReportCard) -> str:
    """``9 of 9``: the checks that passed. Whether it is above its control is no matter of health."""
    checks = [check for check in card.checks if check.name != "control"]
    return f"{sum(check.status == 'pass' for check in checks)} of {len(checks)}"


def brand(encoder: EncoderRecord) -> str:
    """``LOADED``, ``PARTIAL`` where some tensors are fresh and known by name, else ``NOT LOADED``."""
    load = encoder.load
    if load.missing:
        return "PARTIAL"
    return "LOADED" if load.matched == load.expected else "NOT LOADED"


def trusted(encoder: EncoderRecord) -> list[str]:
    """What the user allowed that could run code from the file or its repository."""
    try:
        options = dict(EncoderRef.parse(encoder.ref).target().options)
    except RefError:  # an encoder made in Python carries any name
        return []
    return [sentence for name, sentence in _TRUSTED.items() if options.get(name) in ("yes", "true")]


def spaces(card: ReportCard, group: str) -> list[str]:
    """The spaces that metrics of a group read, embeddings first; empty for those that read none."""
    return sorted({record.space for record in card.metrics if record.group == group})


def rows(card: ReportCard, group: str, space: str) -> list[Row]:
    """The table of one group of metrics in one space."""
    return [_row(record) for record in card.metrics if (record.group, record.space) == (group, space)]


def first_of_each_row(records: Iterable[MetricRecord]) -> dict[str, MetricRecord]:
    """The first of several spaces, by row."""
    found: dict[str, MetricRecord] = {}
    for record in records:
        found.setdefault(record.row, record)
    return found


def terms(card: ReportCard, group: str) -> list[str]:
    """The metrics of a group, as planned."""
    return list(dict.fromkeys(record.term for record in card.metrics if record.group == group))


_HEADINGS = {
    "quality": ("how good", "higher is better"),
    "data": ("of the data, the same for every encoder", ""),
    "guarantee": ("guarantee", "error at most; - where there is none, and why"),
    "shape": ("shape of the embedding, without labels", ""),
    "classes": ("classes in the embedding", ""),
    "change": ("when the image changes", ""),
    "pretext": ("pretext: what f(x) says of z within a class", "lower is better"),
    "other": ("other", ""),
}


def heading(card: ReportCard, group: str, space: str = "") -> str:
    """What a table shows, and once which way is better.

    ``space`` is empty where the table has a column for each, or none is read.
    """
    where = [in_space(space)] if space == "projection" or (space and group in ("factor", "guarantee")) else []
    if group == "factor":
        norms = {record.options.get("norm", "sphere") for record in card.metrics if record.group == group}
        where += ["unit norm"] if norms == {"sphere"} else []
        views = plural(card.data.views, "view", "views")
        return f"why ({', '.join([*where, f'recipe {card.data.recipe}', views])}; lower is better)"
    name, better = _HEADINGS[group]
    said = "; ".join(filter(None, [*where, better]))
    return f"{name} ({said})" if said else name


def in_space(space: str) -> str:
    """``embedding h`` or ``projection z``."""
    return "projection z" if space == "projection" else "embedding h"


def not_computed(card: ReportCard) -> list[str]:
    """Why metrics have no value, each reason once, behind the metrics that it stops.

    A guarantee that is not given is no failure: its table says so.
    """
    stopped: dict[str, list[str]] = {}
    for record in card.metrics:
        if record.value is None and record.group != "guarantee":
            stopped.setdefault(record.reason.removeprefix("not computed: "), []).append(record.row)
    return [f"{', '.join(dict.fromkeys(terms))}: {reason}" for reason, terms in stopped.items()]


def skipped(card: ReportCard) -> list[str]:
    """What of the data was left out."""
    return [
        f"{s.count:,}: {s.reason}" + (f" ({', '.join(s.examples[:2])})" if s.examples else "")
        for s in card.data.skipped
    ]


def preprocessing(record: PreprocessRecord) -> tuple[str, str, str]:
    """How images became inputs: geometry, normalisation, and who says so."""
    height, width = record.size
    mean, std = (", ".join(f"{v:.3g}" for v in channel) for channel in (record.mean, record.std))
    return (
        f"{height} x {width}, {record.interpolation}, centre crop {record.crop:g}",
        f"mean {mean}; std {std}",
        record.source,
    )


def extraction(card: ReportCard) -> list[tuple[str, str]]:
    """How the data were split, what the views were, in full, and the precision below float32."""
    data, made = card.data, card.provenance
    lines = [("split", f"{listed(data.classes)}; {data.split_rule}")] if data.classes else []
    if data.views > 1:
        shared = ", one bank for all images" if data.views_mode == "bank" else ""
        lines.append(
            ("views", f"{data.views} of each image{shared}, seed {data.seed}; {data.recipe_details}")
        )
    if made.precision != "fp32":
        lines.append(("precision", f"{made.precision}, {made.precision_reason}"))
    return lines


def interval(record: MetricRecord) -> str:
    """``[.863, .902]``, or why there is none."""
    if record.interval is None:
        return record.no_interval
    return f"[{number(record.interval.low)}, {number(record.interval.high)}]"


def _load_sentence(card: ReportCard) -> str:
    load = card.encoder.load
    if "weights" in card.encoder.facts:
        return f"fresh weights ({card.encoder.facts['weights']}): this is a control"
    if not load.expected:
        return "a program with weights of its own" if load.file else "an encoder without weights"
    branch = f" of '{cut(load.branch, 40)}'" if load.branch else ""
    prefix = f", prefix '{load.prefix}' removed" if load.prefix else ""
    read = [name for name in load.ignored if name.startswith("projector") and _reads_projections(card)]
    left = [name for name in load.ignored if name not in read]
    said = f"; and {listed(read)}, read for z" if read else ""
    said += f"; left out: {listed(left)}" if left else ""
    return f"all {load.expected} backbone tensors{branch}{prefix}{_others(load)}{said}{_trained_here(card)}"


def _reads_projections(card: ReportCard) -> bool:
    return any(record.space == "projection" for record in card.metrics)


def _trained_here(card: ReportCard) -> str:
    if card.encoder.facts.get("training data digest") != card.data.digest:
        return ""
    return (
        f"; trained on {'the training images of these data' if card.data.splits['test'] else 'these images'}"
    )


def _others(load: LoadRecord) -> str:
    """The other complete backbones of the file, each with the option that takes it."""
    return f"; also in the file: {listed(load.others)}" if load.others else ""


def _accuracy(card: ReportCard) -> list[tuple[str, str]]:
    first = card.leading
    if first is None or first.value is None or first.interval is None:
        return []
    low, high = (percent(end) for end in (first.interval.low, first.interval.high))
    balanced = ", balanced," if first.details.get("balanced") else ""
    on = " on projection z" if first.space == "projection" else ""
    said = [f"{first.summary}{balanced}{on} {percent(first.value)} % [{low}, {high}]"]
    found = [(anchor.name, reading) for anchor in card.anchors if (reading := anchor.reading(first.term))]
    below = any(check.name == "control" and check.status == "warn" for check in card.checks)
    for name, reading in found:
        how_far = f", {against(reading)}" if below and not is_above(reading) else ""
        said.append(f"{name} {percent(reading.value)} %{how_far}")
    if isinstance(majority := first.details.get("majority"), float) and not balanced:
        said.append(f"majority class {percent(majority)} %")
    said += [
        f"{record.summary} is not above {anchor.name} ({against(reading)})"
        for record in card.metrics
        for anchor in card.anchors
        if record.group == "quality" and not record.minor and record.term != first.term
        if (reading := anchor.reading(record.row)) and not is_above(reading)
    ]
    return [("NOT ABOVE CONTROL" if below else "ACCURACY", "; ".join(said))]


def _recipe_not_its_own(card: ReportCard) -> list[tuple[str, str]]:
    """What views of another recipe than the encoder's own do not say."""
    data, own = card.data, card.encoder.facts.get("recipe")
    if data.views == 1 or data.recipe_own or own == data.recipe:
        return []
    factors = "factors that read views say invariance to this recipe, not quality"
    if data.recipe_assumed:
        return [("ASSUMED", f"recipe {data.recipe}: the file names none of its own, so {factors}")]
    named = f"the encoder's own is {own}" if own else "the file names none of its own"
    return [("RECIPE", f"{data.recipe}; {named}, so {factors}")]


def anchors(card: ReportCard, *, missing_only: bool = False) -> list[tuple[str, str]]:
    """What the anchors are, and why one is missing."""
    return [
        (anchor.name, anchor.what if anchor.readings else f"not measured: {anchor.what}")
        for anchor in card.anchors
        if not (missing_only and anchor.readings)
    ]


def _said_by_metrics(card: ReportCard, speakers: Sequence[MetricRecord]) -> list[tuple[str, str]]:
    """What these metrics say, of pretext tasks last.

    h or z where there are two spaces, or it is no embedding.
    """
    found: dict[tuple[str, str], str] = {}
    for record in sorted(speakers, key=lambda record: record.group == "pretext"):
        for word, sentence in record.headline.items():
            found.setdefault((word, record.space), sentence)
    named = any(record.space == "projection" for record in card.metrics if record.headline)
    return [
        (f"{word} {in_space(space)[-1]}" if space and named else word, sentence)
        for first in dict.fromkeys(word for word, _ in found)
        for (word, space), sentence in found.items()
        if word == first
    ]


def _row(record: MetricRecord) -> Row:
    extra = record.note if record.verdict in ("error", "not-applicable") else beside(record)
    value = "-" if record.value is None else number(record.value)
    shown = record.reason if record.value is None else interval(record)
    return Row(record.summary, record.row, value, shown, extra, record, record.paper)


def beside(record: MetricRecord) -> str:
    """What stands beside a value: the worst pair of classes, where it was taken, or how to read it."""
    said = (record.details.get(name) for name in ("worst_pair", "at", "reading"))
    return str(next(filter(None, said), ""))
