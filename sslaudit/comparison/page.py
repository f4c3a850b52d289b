"""A comparison as one page that needs nothing beside itself."""

from collections.abc import Sequence

from sslaudit.comparison import sentences
from sslaudit.comparison.record import Compared, Comparison
from sslaudit.figures import Bars
from sslaudit.numbers import number
from sslaudit.report.drawing import STYLE, draw
from sslaudit.report.phrases import inert, percent
from sslaudit.report.templating import environment


def page(comparison: Comparison) -> str:
    """The whole page; every text is escaped."""
    head, how = sentences.title(comparison)
    leading = sentences.shown_rows(comparison, everything=False)
    there = {id(row) for _, rows in leading for row in rows}
    others = [
        (heading, [row for row in rows if id(row) not in there])
        for heading, rows in sentences.shown_rows(comparison, everything=True)
    ]
    minor = [(heading, rows) for heading, rows in others if rows]
    text = (
        environment("sslaudit.comparison")
        .get_template("comparison.html.j2")
        .render(
            comparison=comparison,
            head=head,
            how=how,
            accuracy=sentences.accuracy_of(comparison),
            groups=leading,
            minor=minor,
            tested=any(encoder.p is not None for encoder in comparison.encoders),
            figures=[draw(figure) for figure in _figures(comparison)],
            style=STYLE,
            inert=inert,
            number=number,
            percent=percent,
            points=sentences.points,
            p_value=sentences.p_value,
            ranks=sentences.ranks,
            signed=sentences.signed,
            about_ranks=sentences.about_ranks(comparison),
            not_paired="" if all(row.paired for row in comparison.rows) else sentences.NOT_PAIRED,
        )
    )
    return text.encode("utf-8", "backslashreplace").decode()


def _figures(comparison: Comparison) -> list[Bars]:
    return [_apart(comparison, comparison.encoders[1:]), *comparison.curves]  # type: ignore[list-item]


def _apart(comparison: Comparison, others: Sequence[Compared]) -> Bars:
    intervals = [one.difference_interval for one in others]
    best = sentences.name_of(comparison.encoders[0])
    return Bars(
        title=f"How far each encoder is from {best}",
        labels=[inert(one.name) for one in others],
        values=[100 * one.difference for one in others],
        value_label=f"points of {sentences.accuracy_of(comparison)}",
        low=[100 * interval.low for interval in intervals if interval],
        high=[100 * interval.high for interval in intervals if interval],
        note="Lines are simultaneous intervals: one that reaches 0 leaves it open which of two is better.",
    )
