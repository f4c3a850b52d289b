"""What a table shows, in sentences made from its numbers."""

from collections.abc import Iterator

from sslaudit.numbers import number
from sslaudit.report.phrases import plural
from sslaudit.results import Interval
from sslaudit.sweep.table import GoesWith, Measured, Pair, Table


def title(table: Table) -> str:
    """The suite and where it ran."""
    return f"{table.suite} (version {table.version}), scale {table.scale}: {table.scale_summary}"


def heading(measured: Measured) -> str:
    """What a metric is, with what stands beside its value: ``1 - sigma, delta 3.86``."""
    return ", ".join(filter(None, [measured.label.partition(",")[0], measured.at]))


def reading(table: Table) -> list[str]:
    """How the numbers are to be read."""
    accuracy = table.cells[0].accuracy
    n = len(table.seeds)
    said = [
        f"Accuracy: {accuracy.term} on the held-out images, of the last epoch: nothing was chosen on them.",
        f"[ ]: 95 % over the images, of the mean over {_seeds(n)}.",
    ]
    if found := dict.fromkeys(c.accuracy.over_seeds.method for c in table.cells if c.accuracy.over_seeds):
        how = ", or ".join(found)
        said.append(f"+-: 95 % over seeds, {how}; {_few(n)}right where seeds scatter like a normal variable.")
    else:
        said.append("One seed says nothing of the scatter over seeds.")
    of_data = {heading(m): m.over_images for m in table.cells[0].against if m.of_data}
    if of_data:
        said.append(f"{'; '.join(of_data)}: of data and recipe alone, the same for methods and seeds.")
    said += dict.fromkeys(f"[ ] there: {limits.method}." for limits in of_data.values() if limits)
    return said


def order(table: Table) -> list[str]:
    """Whether rows stand as the source reports, wherever the interval over paired seeds tells."""
    said = []
    for method in table.methods:
        pairs = [pair for pair in table.pairs if pair.method == method]
        if not pairs:
            continue
        right = sum(pair.verdict == "as reported" for pair in pairs)
        said.append(
            f"{method}: of {plural(len(pairs), 'pair', 'pairs')} of rows whose order is reported, {right} "
            "told apart that way here, by the interval over paired seeds."
        )
        said += [_pair(pair) for pair in pairs if pair.verdict != "as reported"]
    return said


def same_views(table: Table) -> list[str]:
    """Which rows tie by construction."""
    return [
        f"Row {later} gave the very weights of row {earlier}: on these images, at this size, its recipe "
        "draws the same views. They tie by construction."
        for later, earlier in table.same
    ]


def correlations(table: Table) -> list[str]:
    """What to think of p."""
    found = [one for one in table.correlations if one.spearman.smallest_p is not None]
    if not found:
        return ["Fewer than three rows have no order to speak of."]
    said = [
        f"Ranks of {n} rows, means over seeds; p two-sided by permutation, {_smallest(found, n)} at least."
        for n in dict.fromkeys(one.spearman.n for one in found)
    ]
    lower = dict.fromkeys(one.label.partition(",")[0] for one in found if one.direction == "lower")
    if lower:
        said.append(f"Lower is better of {', '.join(lower)}: a rank correlation of -1 is what one hopes for.")
    return said


def left_out(table: Table) -> list[str]:
    """Runs that are in no mean."""
    said = [
        f"{cell.method}/{cell.row}/seed-{seed} is left out: it failed its check {reason}"
        for cell in table.cells
        for seed, reason in cell.left_out.items()
    ]
    return [*said, *(f"{run} failed: {reason}" for run, reason in table.failures.items())]


def span(interval: Interval | None) -> str:
    """``[.902, .945]``, or nothing."""
    return f"[{number(interval.low)}, {number(interval.high)}]" if interval else ""


def reach(interval: Interval | None) -> str:
    """``+-.012``, or nothing."""
    return f"+-{number((interval.high - interval.low) / 2)}" if interval else ""


def value(measured: Measured) -> str:
    """The value, or a dash."""
    return "-" if measured.value is None else number(measured.value)


def rank(one: GoesWith) -> Iterator[str]:
    """Spearman, its p, Kendall, its p."""
    for found in (one.spearman, one.kendall):
        yield "-" if found.value is None else number(found.value)
        yield "" if found.p is None else number(found.p)


def _pair(pair: Pair) -> str:
    names = f"  {pair.better} over {pair.worse}"
    if pair.verdict == "not measured":
        return f"{names}: not measured."
    if pair.verdict == "the same views":
        return f"{names}: the same views here, so the same encoder."
    assert pair.difference is not None
    sign = "+" if pair.difference > 0 else ""
    measured = f"{sign}{number(pair.difference)} {span(pair.interval)}".rstrip()
    if pair.verdict == "reversed":
        return f"{names}: the other way round here, {measured}."
    if pair.seeds == 1:
        return f"{names}: {measured}; no verdict from one seed."
    return f"{names}: not told apart, {measured} over {_seeds(pair.seeds)}."


def _seeds(n: int) -> str:
    return "one seed" if n == 1 else f"{n} seeds"


def _few(n: int) -> str:
    return "few seeds make it wide; " if n < 6 else ""


def _smallest(found: list[GoesWith], n: int) -> str:
    least = min(
        rank.smallest_p
        for one in found
        for rank in (one.spearman, one.kendall)
        if one.spearman.n == n and rank.smallest_p is not None
    )
    return number(least)
