"""The files that a sweep leaves beside its runs."""

from pathlib import Path

from sslaudit.report import strict_json
from sslaudit.sweep.figure import figure
from sslaudit.sweep.files import write_text
from sslaudit.sweep.render import comma_separated, markdown
from sslaudit.sweep.table import Table


def write_results(table: Table, folder: Path) -> None:
    """``table.md``, ``table.csv``, ``table.json`` and ``figure.svg``. Raises ``OutputError``."""
    write_text(folder / "table.md", markdown(table))
    write_text(folder / "table.csv", comma_separated(table))
    write_text(folder / "table.json", strict_json.dumps(table))
    write_text(folder / "figure.svg", figure(table))
