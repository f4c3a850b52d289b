"""The program ``sslaudit``: its commands, and what every command has in common."""

import typer

from sslaudit.cli.augmentations import augmentations
from sslaudit.cli.cache import cache
from sslaudit.cli.compare import compare
from sslaudit.cli.demo import demo
from sslaudit.cli.evaluate import evaluate
from sslaudit.cli.inspect import inspect
from sslaudit.cli.leaderboard import leaderboard
from sslaudit.cli.listing import list_, plugins
from sslaudit.cli.process import settle
from sslaudit.cli.report import report
from sslaudit.cli.sweep import sweep
from sslaudit.cli.train import train
from sslaudit.cli.views import views

app = typer.Typer(
    name="sslaudit",
    help="How good is the representation of a pretrained encoder on your data, and why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("evaluate")(evaluate)
app.command("inspect")(inspect)
app.command("train")(train)
app.command("sweep")(sweep)
app.command("views")(views)
app.command("augmentations")(augmentations)
app.command("compare")(compare)
app.command("report")(report)
app.command("leaderboard")(leaderboard)
app.command("demo")(demo)
app.add_typer(cache)
app.command("plugins")(plugins)
app.command("list")(list_)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sslaudit {version('sslaudit')}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """How good is the representation of a pretrained encoder on your data, and why."""


def main() -> None:
    """Run the program."""
    settle()
    app(prog_name="sslaudit")
