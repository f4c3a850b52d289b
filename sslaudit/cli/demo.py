"""``sslaudit demo``: the whole story on embedded data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.cli.output import prepared

if TYPE_CHECKING:
    from sslaudit.demo import Story


@guarded
def demo(
    output: Annotated[Path, typer.Option(help="Folder for checkpoints and cards.")] = Path("reports/demo"),
) -> int:
    """Train SimCLR and Barlow Twins on embedded digits and audit them beside their untrained copy."""
    found = registry()
    with prepared(output):
        from sslaudit.demo import run
        from sslaudit.report.terminal import console, side_by_side

        story = run(found, output, say=complain)
    out = console()
    out.print(side_by_side(story.cards, story.names))
    out.print()
    for sentence in _sentences(story):
        out.print(sentence, markup=False)
    out.print()
    out.print("a checkpoint with wrong tensor names is refused, never half loaded:")
    out.print("\n".join(f"  {line}" for line in story.refusal.splitlines()), markup=False)
    out.print(f"\ncards and checkpoints: {output}", markup=False)
    ahead = all(difference.interval.low > 0 for difference in story.differences)
    return int(not ahead or any(card.failed_checks or card.problems for card in story.cards))


def _sentences(story: "Story") -> list[str]:
    """What the cards show, in two sentences made from the measured intervals."""
    from sslaudit.report.terminal import difference

    few = [d for d in story.differences if d.term == "few-shot"]
    centre = [d for d in story.differences if d.term == "nearest-centre"]
    return [
        f"With three labels a class, {_verdict([d.interval.low for d in few])}: "
        + ", ".join(difference(d.encoder, d.value, d.interval) for d in few)
        + " (paired difference of accuracy to the untrained copy, 95 % interval).",
        "With all labels kNN saturates and hides it; the nearest class centre, the classifier of Theorem 1, "
        f"{'still tells' if all(d.interval.low > 0 for d in centre) else 'does not tell'} them apart: "
        + ", ".join(difference(d.encoder, d.value, d.interval) for d in centre)
        + ".",
    ]


def _verdict(lows: list[float]) -> str:
    if all(low > 0 for low in lows):
        return "both trained encoders beat their untrained copy"
    return "not every trained encoder beats its untrained copy"
