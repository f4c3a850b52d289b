"""``sslaudit demo``: the whole story on embedded data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.cli.output import prepared

if TYPE_CHECKING:
    from sslaudit.demo import Story
    from sslaudit.report.card import ReportCard


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
    out.print()
    for place, page in enumerate(story.pages):
        out.print(f"{'cards:' if not place else '':<13}{page}", markup=False, soft_wrap=True)
    out.print(f"{'checkpoints:':<13}{output}", markup=False, soft_wrap=True)
    ahead = all(difference.interval.low > 0 for difference in story.differences)
    return int(not ahead or any(card.failed_checks or card.problems for card in story.cards))


def _sentences(story: "Story") -> list[str]:
    """What the cards show, in sentences made from what was measured."""
    from sslaudit.numbers import number

    few, centre = (_against_untrained(story, term) for term in ("few-shot", "nearest-centre"))
    held = ", ".join(
        f"{name} {_held_back(card)}" for name, card in zip(story.names, story.cards, strict=True)
    )
    knn = ", ".join(number(card.metric("knn").value or 0.0) for card in story.cards)
    return [
        f"With three labels a class, {'both' if few[1] else 'not all'} trained encoders beat their "
        f"untrained copy: {few[0]} (paired difference of accuracy, 95 % interval).",
        f"With all labels kNN says less ({knn}); the nearest class centre, the classifier of Theorem 1, "
        f"{'still tells' if centre[1] else 'does not tell'} them apart: {centre[0]}.",
        f"What holds the embeddings back: {held}.",
    ]


def _held_back(card: "ReportCard") -> str:
    """``by divergence (centred: concentration)``."""
    details = card.metric("theorem1").details
    centred = details["held_back_centred_by"]
    return f"by {details['held_back_by']}" + (f" (centred: {centred})" if centred else "")


def _against_untrained(story: "Story", term: str) -> tuple[str, bool]:
    """The differences in words, and whether all intervals lie above 0."""
    from sslaudit.report.terminal import difference

    found = [d for d in story.differences if d.term == term]
    words = ", ".join(difference(d.encoder, d.value, d.interval) for d in found)
    return words, all(d.interval.low > 0 for d in found)
