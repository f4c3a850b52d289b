"""The runs of a sweep: trained and audited one after another, in this process or in several.

A run that is finished is not done again, one that was interrupted goes on where it was. What fails is
recorded with its reason, and the others go on.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import torch

from sslaudit.audit import Line
from sslaudit.data import Dataset
from sslaudit.errors import DataError, OutputError, SslauditError
from sslaudit.loading import load_dataset
from sslaudit.refs import EncoderRef
from sslaudit.registry import Registry
from sslaudit.report.card import write_card
from sslaudit.settings import Settings
from sslaudit.sweep.plan import Record, Run, Status, Sweep, stands, wanted, write_record
from sslaudit.sweep.workers import Workers
from sslaudit.train.loop import train


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one run."""

    run: Run
    before: Status | None
    """How far it was when it was taken up."""
    reason: str = ""
    """Why it failed; empty when it did not."""
    seconds: float = 0.0


def standings(sweep: Sweep, registry: Registry, *, overwrite: bool = False) -> dict[Run, Status | None]:
    """How far each run is. Raises ``UsageError`` before any work when one was made otherwise."""
    return {run: stands(run, wanted(sweep, run, registry), overwrite=overwrite) for run in sweep.runs}


def carry_out(
    sweep: Sweep,
    before: Mapping[Run, Status | None],
    *,
    registry: Registry,
    data: Dataset,
    jobs: int = 1,
) -> Generator[Outcome, None, None]:
    """Do all runs that are not finished and yield each as it ends.

    On a CPU each process computes with one thread, so that ``jobs`` does not change a number. When the
    iteration is left, by an interruption too, other processes are stopped.
    """
    todo = [run for run in sweep.runs if before[run] != "finished"]
    if jobs == 1 or len(todo) < 2:
        with _one_thread(sweep.device):
            worker = Worker(sweep, registry, data)
            for run in todo:
                yield worker.outcome(run, before[run])
        return
    with Workers(min(jobs, len(todo)), _other_process, sweep) as workers:
        for run, outcome in workers.each(todo, lambda run: (run, before[run])):
            yield (
                outcome if isinstance(outcome, Outcome) else _died(sweep, registry, run, before[run], outcome)
            )


class Worker:
    """Trains and audits; what depends on the data alone is measured once."""

    def __init__(self, sweep: Sweep, registry: Registry, data: Dataset) -> None:
        self._sweep, self._registry, self._data = sweep, registry, data
        settings = Settings(
            metrics=[sweep.accuracy, *sweep.against],
            views=sweep.suite.audit.views,
            device=sweep.device,
            precision="fp32",  # auto goes by what is faster at the moment, and so differs between runs
            anchors=False,
            cache=False,
        )
        self._line = Line(registry, settings)

    def outcome(self, run: Run, before: Status | None) -> Outcome:
        """Do the run, as far as it is not done, and record what came of it."""
        clock = time.perf_counter()
        record = wanted(self._sweep, run, self._registry)
        try:
            self._do(run, record, before)
        except SslauditError as error:
            reason = str(error)
        except Exception as error:  # the other runs go on whatever happened to this one
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        else:
            return Outcome(run=run, before=before, seconds=time.perf_counter() - clock)
        _record_failure(run, record, reason)
        return Outcome(run=run, before=before, reason=reason, seconds=time.perf_counter() - clock)

    def _do(self, run: Run, record: Record, before: Status | None) -> None:
        asked, seconds = record.training, {}
        if before != "trained":
            write_record(run, record)
            began = time.perf_counter()
            train(
                self._registry.methods.get(run.method),
                self._data,
                output=run.checkpoint,
                named=self._registry.recipes.usable(),
                choices=asked.choices,
                device=self._sweep.device,
                options=asked.options,
                resume=before is not None,
                overwrite=before is None,
            )
            seconds["training"] = round(time.perf_counter() - began, 1)
            write_record(run, replace(record, status="trained", seconds=seconds))
        began = time.perf_counter()
        encoder = self._line.load(EncoderRef("file", str(run.checkpoint)))
        write_card(self._line.run(encoder, self._data), run.folder)
        seconds["audit"] = round(time.perf_counter() - began, 1)
        write_record(run, replace(record, status="finished", seconds=seconds))


def _other_process(sweep: Sweep) -> Callable[[tuple[Run, Status | None]], Outcome]:
    """What a worker process does with each task."""
    from sslaudit.registry import installed

    registry = installed()
    torch.set_num_threads(1)
    try:
        data = load_dataset(sweep.data, registry=registry)
        if data.digest != sweep.data_digest:
            raise DataError(f"{sweep.data} is not what it was when the sweep began.")
    except SslauditError as error:
        reason = str(error)
        return lambda task: Outcome(run=task[0], before=task[1], reason=reason)
    worker = Worker(sweep, registry, data)
    return lambda task: worker.outcome(*task)


def _died(sweep: Sweep, registry: Registry, run: Run, before: Status | None, how: object) -> Outcome:
    reason = f"its process ended: {how}"
    _record_failure(run, wanted(sweep, run, registry), reason)
    return Outcome(run=run, before=before, reason=reason)


def _record_failure(run: Run, record: Record, reason: str) -> None:
    with suppress(OutputError):  # of a full disk: its record says that it was started
        write_record(run, replace(record, status="failed", reason=reason))


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
