"""``sslaudit sweep``: train each method with each recipe of a suite, audit each, and make one table."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sslaudit.cli.guard import complain, guarded, registry
from sslaudit.cli.output import prepared
from sslaudit.errors import CardError, OutputError, UsageError
from sslaudit.named import sweep_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sslaudit.report.card import ReportCard
    from sslaudit.sweep.plan import Run, Status, Sweep

Some = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only these; may be repeated.")]


@guarded
def sweep(
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="A name of list suites, or a file like them.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for checkpoints, cards and the table.")],
    scale: Annotated[
        str, typer.Option(help="On what data, with how much work: a scale of the suite.")
    ] = "cpu",
    method: Some = None,
    row: Some = None,
    seed: Annotated[list[int] | None, typer.Option(metavar="N", help="Only these; may be repeated.")] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Other data than the scale's: a folder, or SCHEME:NAME."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes, on a CPU with one thread each; else one for each core."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do all runs again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and do nothing.")] = False,
) -> int:
    """Train each (method x row x seed) of a suite, audit each, and make one table and figure.

    The same command goes on where it was interrupted; what is finished is not done again.
    """
    found = registry()
    file = sweep_file(suite)
    from sslaudit.sweep.suite import read_suite

    read = read_suite(file)
    chosen = read.scale(scale)
    from sslaudit.extraction import pick_device
    from sslaudit.loading import load_dataset
    from sslaudit.sweep.plan import plan_sweep
    from sslaudit.sweep.run import standings

    picked = pick_device(device)
    asked = plan_sweep(
        read,
        scale,
        opened := load_dataset(data or chosen.data, registry=found),
        output,
        registry=found,
        device=picked,
        methods=method or (),
        rows=row or (),
        seeds=seed or (),
    )
    if opened.labels is None or not len(opened.test):
        raise UsageError(f"{opened.ref} has no labels or no held-out images; a table needs both.")
    if output.exists() and not output.is_dir():
        raise OutputError(f"--output {output} is a file; name a folder for checkpoints, cards and the table.")
    before = standings(asked, found, overwrite=overwrite)
    todo = sum(status != "finished" for status in before.values())
    count = min(jobs or ((os.cpu_count() or 1) if picked == "cpu" else 1), max(1, todo))
    _say_plan(asked, before, len(opened.train), count)
    if dry_run:
        for run in asked.runs:
            typer.echo(f"{run}  {before[run] or 'new'}")
        return 0
    with prepared(output):
        from sslaudit.sweep.run import carry_out

        failures: dict[Run, str] = {}
        outcomes = carry_out(asked, before, registry=found, data=opened, jobs=count)
        with closing(outcomes):
            for done, outcome in enumerate(outcomes, 1):
                stand = f"failed: {outcome.reason}" if outcome.reason else f"{outcome.seconds:.0f} s"
                complain(f"[{done} of {todo}] {outcome.run}: {stand}")
                if outcome.reason:
                    failures[outcome.run] = outcome.reason
        return _report(asked, failures)


def _report(asked: "Sweep", failures: "dict[Run, str]") -> int:
    from sslaudit.report.card import read_card
    from sslaudit.report.terminal import console
    from sslaudit.sweep.render import terminal
    from sslaudit.sweep.results import write_results
    from sslaudit.sweep.table import make_table

    cards: dict[Run, ReportCard] = {}
    for run in asked.runs:
        if run not in failures:
            try:
                cards[run] = read_card(run.folder)
            except CardError as error:
                failures[run] = f"{error} Delete it, and the same command audits the run again."
    table = make_table(asked, cards, failures)
    write_results(table, asked.output)
    console().print(terminal(table))
    typer.echo(f"\nwrote {', '.join(str(asked.output / f'table.{end}') for end in ('md', 'csv', 'json'))}")
    typer.echo(f"and {asked.output / 'figure.svg'}")
    return int(bool(failures) or any(cell.left_out for cell in table.cells))


def _say_plan(asked: "Sweep", before: "Mapping[Run, Status | None]", images: int, jobs: int) -> None:
    n = {
        status: sum(one == status for one in before.values()) for status in ("finished", "trained", "started")
    }
    from sslaudit.report.phrases import plural

    scale = asked.scale
    complain(
        f"{plural(len(asked.runs), 'run', 'runs')}: {plural(len(asked.methods), 'method', 'methods')} x "
        f"{plural(len(asked.rows), 'row', 'rows')} x {plural(len(asked.seeds), 'seed', 'seeds')}; "
        f"{scale.backbone} at {scale.size} px, {plural(scale.epochs, 'epoch', 'epochs')} of {images:,} "
        f"images of {asked.data}; {jobs} at a time on {asked.device}."
    )
    if len(asked.runs) > sum(one is None for one in before.values()):
        complain(
            f"{n['finished']} are finished and stand, {n['trained']} are trained and to be audited, "
            f"{n['started']} go on."
        )
