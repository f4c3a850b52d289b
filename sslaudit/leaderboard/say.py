"""The sentences of a leaderboard, shared by the page and the Markdown."""

from sslaudit.leaderboard.boards import Board, Settings
from sslaudit.report.card import MetricRecord
from sslaudit.report.phrases import plural

RULE = (
    "Rank = 1 + the number of encoders on the same board whose 95 % interval lies wholly above; encoders "
    "that no interval tells apart share a rank. Unrounded values decide. Within a rank the order is by "
    "value, then by name. Encoders that failed a check, did not finish training or have no value stand "
    "at the end, without a rank, however a table is sorted."
)

BETTER = {"higher": "higher is better", "lower": "lower is better", "none": "neither end is better"}


def heading(board: Board) -> str:
    """Which data."""
    data = board.standings[0].entry.card.data
    classes = f", {plural(len(data.classes), 'class', 'classes')}" if data.classes else ", no labels"
    tested = f", {data.splits['test']:,} held out" if data.classes and data.splits.get("test") else ""
    return f"{board.data}: {plural(data.images, 'image', 'images')}{classes}{tested}"


def settings(board: Board) -> str:
    """What is the same on all its cards, beside the data."""
    held = board.settings
    digest = f"data digest {held.digest[:12]}"
    return f"{views(held)}, {held.precision}, {digest}"


def views(held: Settings) -> str:
    """Recipe, views and seed."""
    if held.views == 1:
        return f"no views, seed {held.seed}"
    bank = "one bank for all images, " if held.views_mode == "bank" else ""
    return f"recipe {held.recipe}, {held.views} views of each image, {bank}seed {held.seed}"


def below(record: MetricRecord, name: str) -> str:
    """What stands under the label of a column: the paper's word and the ``name`` of the column, once each."""
    if record.paper.startswith(record.row):
        return name + record.paper.removeprefix(record.row)
    return f"{record.paper}, {name}" if record.paper not in ("", record.summary) else name


def ranked_by(board: Board) -> str:
    """Which accuracy ranks."""
    if board.leading is None:
        return "Not ranked: no card has an accuracy"
    record = board.columns[0].record if board.columns else None
    if record is None or board.columns[0].key != board.leading:
        return f"Not ranked: no card has a value of {board.leading.row}"
    space = ", projection z" if record.space == "projection" else ""
    which = f"{record.row}, version {record.version}{space}"
    return f"Ranked by {record.summary} ({which}), {BETTER[record.direction]}"
