"""A metric explained: its formula with the numbers of a card, as its plugin writes it."""

from sslaudit.errors import CardError, UsageError
from sslaudit.registry import Registry
from sslaudit.report import phrases, words
from sslaudit.report.card import MetricRecord, ReportCard


def explanation(card: ReportCard, name: str, registry: Registry, where: str) -> str:
    """What the metric ``name`` says of itself, once for each space and each set of options on the card.

    Raises ``UsageError`` for a metric that is not on the card or does not explain itself, and
    ``CardError`` where its version has changed since.
    """
    found = [record for record in card.metrics if name in (record.term, _metric(record))]
    if not found:
        there = ", ".join(dict.fromkeys(_metric(record) for record in card.metrics))
        raise UsageError(f"{where} has no metric '{name}'; it has: {there}.")
    spec = registry.metrics.get(_metric(found[0]))
    if spec.explain is None:
        raise UsageError(
            f"metric '{spec.name}' does not explain itself with the numbers of a card; "
            f"`sslaudit list metrics {spec.name}` says what they are."
        )
    if found[0].version != spec.version:
        raise CardError(
            f"{where} holds version {found[0].version} of '{spec.name}', and installed is version "
            f"{spec.version}: its numbers may mean something else. Run evaluate again."
        )
    blocks = []
    for term, space in dict.fromkeys((record.term, record.space) for record in found):
        records = [record for record in found if (record.term, record.space) == (term, space)]
        details = {record.name.partition(".")[2]: record.details for record in records}
        title = f"{term} on {words.in_space(space)}" if space else term
        if any(details.values()):
            blocks.append(f"{title}   {phrases.cut(card.encoder.ref, 40)}\n\n{spec.explain(details)}")
        else:
            blocks.append(f"{title} was not computed: {records[0].reason}")
    return "\n\n".join(blocks)


def _metric(record: MetricRecord) -> str:
    return record.name.partition(".")[0]
