"""Why an encoder has no rank, and what a reader must know of one that has."""

from sslaudit.report import words
from sslaudit.report.card import MetricRecord, ReportCard

NO_VALUE = "NO VALUE"


def failure(card: ReportCard) -> tuple[str, str] | None:
    """The word in capitals and the sentence of a card that is ranked with nothing; None for others."""
    if failed := words.failure(card):
        return failed
    epochs, _, unfinished = card.encoder.facts.get("epoch", "").partition(", ")
    return ("UNFINISHED", f"training stopped after epoch {epochs}") if unfinished else None


def marks(card: ReportCard, leading: MetricRecord | None) -> dict[str, str]:
    """What stands beside a rank: words in capitals, each with its sentence."""
    said: dict[str, str] = {}
    if leading is not None and leading.interval is None:
        said["NO INTERVAL"] = f"{leading.no_interval}, so its rank takes the value for certain"
    for check in card.checks:
        if check.name == "control" and check.status == "warn":
            said["NOT ABOVE CONTROL"] = check.message
    if "weights" in card.encoder.facts:
        said["CONTROL"] = f"fresh weights: {card.encoder.facts['weights']}"
    if card.data.views > 1 and card.data.recipe_assumed:
        said["ASSUMED"] = "the file names no recipe of its own"
    return said
