"""What a card says in one sentence: from its checks, verdicts and numbers, never from a composite score."""

from sslaudit.figures import Waterfall
from sslaudit.numbers import number
from sslaudit.report import phrases, words
from sslaudit.report.anchored import AnchorReading, against, is_above
from sslaudit.report.card import MetricRecord, ReportCard

_NAME = 48
"""Characters that a name may take up in a sentence."""

_REASONS = {
    "finite": "it does not give finite numbers",
    "non-constant": "it collapsed",
    "rank": "it collapsed",
    "projections": "it collapsed in the space of its loss",
    "deterministic": "it does not give one image the same embedding each time",
    "batch-invariant": "what it gives an image depends on the rest of the batch",
    "buffers": "it changes itself while it is used",
}
"""What it means that a check failed."""

_HELD_BACK = {
    "alignment": "views of one image lie far apart",
    "concentration": "images of one class lie far apart",
    "divergence": "class centres overlap",
}

_ANOTHER = (
    " That is the worst case, which the theorem goes by: on average over the images, another factor holds "
    "this encoder back most, {}."
)

_SPREAD = {
    "concentration": "that images of one class have no views near one another",
    "misaligned": "that views of one image lie far apart",
    "distance": "how far apart images of one class still lie where their views meet",
    "tolerance": "how far apart views of one image may lie",
}
"""What the parts of the budget are, by the first word of their labels."""

_FACTORS = {
    "concentration": "concentration",
    "misaligned": "alignment",
    "distance": "concentration",
    "tolerance": "alignment",
}
"""Which factor each of them belongs to."""


def sentence(card: ReportCard) -> str:
    """Did it load, is it healthy, how good is it, what holds it back, and what is guaranteed."""
    if card.failed_checks:
        said = _failed(card)
    else:
        parts = [f"{_loaded(card)} and {_healthy(card)}", _accuracy(card), _held_back(card), _guarantee(card)]
        said = "; ".join(filter(None, parts))
    return f"{said[0].upper()}{said[1:]}."


def obstacles(card: ReportCard) -> list[tuple[str, str]]:
    """What keeps the guarantee from holding, once for each space: its name, and a sentence."""
    found: dict[str, MetricRecord] = {}
    for record in card.metrics:
        if record.group == "guarantee":
            found.setdefault(record.space, record)
    return [(space, _obstacle(record)) for space, record in found.items()]


def _failed(card: ReportCard) -> str:
    load, failed = card.encoder.load, {check.name: check for check in card.failed_checks}
    reasons = []
    if "load" in failed:
        fit = f"{load.matched:,} of {load.expected:,} tensors"
        part = words.brand(card.encoder) == "PARTIAL"
        reasons.append(
            f"only part of the weights loaded, {fit}, and the rest is fresh"
            if part
            else f"the weights did not load, {fit} fit"
        )
    said: dict[str, list[str]] = {}
    for name, check in failed.items():
        if name != "load":
            reason = _REASONS.get(name, f"it failed the check '{phrases.cut(name, _NAME)}'")
            said.setdefault(reason, []).append(check.message.rstrip("."))
    reasons += [f"{reason} ({'; '.join(dict.fromkeys(found))})" for reason, found in said.items()]
    if "load" not in failed:
        reasons[0] = f"{_loaded(card)}, but {reasons[0]}"
    return f"{'; '.join(reasons)}: no score on this card is to be trusted"


def _loaded(card: ReportCard) -> str:
    facts, load = card.encoder.facts, card.encoder.load
    epoch, _, unfinished = facts.get("epoch", "").partition(", ")
    if "weights" in facts:
        return "the weights are fresh, which makes this a control,"
    if not load.expected:
        return (
            "this is an encoder without weights to load"
            if not load.file
            else "the encoder brought its weights"
        )
    stopped = f" from a training that stopped after epoch {epoch}," if unfinished else ""
    return f"the weights loaded{stopped}"


def _healthy(card: ReportCard) -> str:
    """Warnings are named: a reader should look at them."""
    warned = [check.name for check in card.checks if check.status == "warn" and check.name != "control"]
    if not card.checks:
        return "no check was made"
    if not warned:
        return "all checks passed"
    names = ", ".join(phrases.cut(name, _NAME) for name in warned)
    return f"no check failed ({names} {'warns' if len(warned) == 1 else 'warn'})"


def _accuracy(card: ReportCard) -> str:
    first = card.leading
    if first is None or first.value is None or first.interval is None:
        return "accuracy was not measured" if card.data.classes else "without labels there is no accuracy"
    low, high = (phrases.percent(end) for end in (first.interval.low, first.interval.high))
    value = f"{phrases.percent(first.value)} % [{low}, {high}]"
    where = " on projection z" if first.space == "projection" else ""
    what = ", balanced over classes" if first.details.get("balanced") else ""
    how = f"{phrases.cut(first.summary, _NAME)}{where}{what}"
    said = f"{value} of held-out images are classified correctly ({how})"
    found = [(anchor.name, reading) for anchor in card.anchors if (reading := anchor.reading(first.term))]
    return ", ".join(filter(None, [said, _above(found), _below(found)]))


def _above(found: list[tuple[str, AnchorReading]]) -> str:
    above = [_anchor(name, reading) for name, reading in found if is_above(reading)]
    return f"above {' and '.join(above)}" if above else ""


def _below(found: list[tuple[str, AnchorReading]]) -> str:
    below = [
        f"{_anchor(name, reading)}: {against(reading)}" for name, reading in found if not is_above(reading)
    ]
    return f"not above {' nor '.join(below)}" if below else ""


def _anchor(name: str, reading: AnchorReading) -> str:
    article = "" if name.endswith("s") else "an " if name[:1] in "aeiou" else "a "
    return f"{article}{name} ({phrases.percent(reading.value)} %)"


def _held_back(card: ReportCard) -> str:
    for record in card.metrics:
        factor = record.details.get("held_back_by")
        if record.group == "guarantee" and factor in _HELD_BACK:
            said = f"what holds it back most on average is that {_HELD_BACK[str(factor)]}"
            behind = str(record.details.get("held_back_centred_by"))
            if behind in _HELD_BACK and behind != factor:
                said += f" and, behind the mean that all images share, that {_HELD_BACK[behind]}"
            return said
    return ""


def _guarantee(card: ReportCard) -> str:
    found = [record for record in card.metrics if record.group == "guarantee"]
    certified = [record.value for record in found if record.verdict == "holds" and record.value is not None]
    if certified:
        return f"an error of at most {phrases.percent(min(certified))} % is certified"
    return f"{phrases.cut(found[0].summary, _NAME)} {_says(found[0])}" if found else ""


def _says(record: MetricRecord) -> str:
    if record.verdict == "holds-point-estimate" and record.value is not None:
        return f"bounds the error by {phrases.percent(record.value)} %, as an estimate that certifies nothing"
    if record.verdict == "vacuous":
        return "holds, but promises no more than naming one class does"
    return "gives no guarantee" if record.verdict == "fails" else "was not computed"


def _obstacle(record: MetricRecord) -> str:
    budget = next((figure for figure in record.figures if isinstance(figure, Waterfall)), None)
    said = f"{phrases.cut(record.summary, _NAME)} {_says(record)}"
    if record.verdict != "fails" or budget is None or sum(budget.values) <= budget.limit:
        why = record.reason.removeprefix("gives no guarantee: ").removeprefix("not computed: ")
        return f"{said}: {why}." if why else f"{said}."
    total, most = sum(budget.values), max(range(len(budget.values)), key=budget.values.__getitem__)
    label = budget.labels[most]
    part = label.partition(",")[0]
    plain, average = _SPREAD.get(part), str(record.details.get("held_back_by"))
    worst = phrases.cut(str(record.details.get("worst_pair") or ""), 2 * _NAME)
    pair = f" ({worst})" if worst else ""
    return (
        f"{said}: images of one class lie too far apart for how close the class centres are. For the worst "
        f"pair of classes{pair} that spread, {budget.total_label}, is {number(total)}, where "
        f"{number(budget.limit)} is {budget.limit_label}. Most of it, {number(budget.values[most])}, is "
        f"{f'{plain} ({label})' if plain else label}, at the delta and eps that come nearest to the "
        "condition."
        + (_ANOTHER.format(average) if average in _HELD_BACK and _FACTORS.get(part) != average else "")
    )
