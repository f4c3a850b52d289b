"""From a suite to its runs: which there are, what each is asked for, and which of them are finished."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from sslaudit.data import Dataset
from sslaudit.errors import OutputError, UsageError
from sslaudit.plan import make_plan
from sslaudit.recipes import parse_recipe
from sslaudit.registry import Registry, nearest
from sslaudit.report import strict_json
from sslaudit.specs import OptionValue, read_options
from sslaudit.sweep.files import write_text
from sslaudit.sweep.suite import Scale, Suite
from sslaudit.train.backbones import build_backbone
from sslaudit.train.choices import Choices

Status = Literal["started", "trained", "finished", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One encoder to be trained and audited."""

    method: str
    row: str
    seed: int
    folder: Path

    @property
    def checkpoint(self) -> Path:
        """Where training writes."""
        return self.folder / "last.pt"

    def __str__(self) -> str:
        return f"{self.method}/{self.row}/seed-{self.seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What decides the weights of a run."""

    method: str
    options: Mapping[str, OptionValue]
    choices: Choices
    recipe: str
    """Canonical text with its version."""
    data_digest: str
    device: str
    sslaudit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Auditing:
    """What decides the card of trained weights."""

    metrics: tuple[str, ...]
    """Terms with their versions."""
    views: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """``run.json`` beside a checkpoint: what was asked for and what came of it."""

    suite: str
    suite_version: int
    scale: str
    data: str
    """As the user wrote it; the digest decides."""
    training: Training
    auditing: Auditing
    status: Status
    reason: str = ""
    """Why it failed."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of this training and this audit, by name; only what was done since the run was last taken up."""


_RECORD = TypeAdapter(Record)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """Everything that the workers need; it can be sent to another process."""

    suite: Suite
    scale_name: str
    output: Path
    data: str
    data_digest: str
    device: str
    accuracy: str
    """The term on the cards."""
    against: tuple[str, ...]
    versions: tuple[str, ...]
    """Of all metrics, term and version."""
    runs: tuple[Run, ...]

    @property
    def scale(self) -> Scale:
        """The scale that runs."""
        return self.suite.scale(self.scale_name)

    @property
    def methods(self) -> list[str]:
        """Of the runs, in order."""
        return list(dict.fromkeys(run.method for run in self.runs))

    @property
    def rows(self) -> list[str]:
        """Of the runs, in order."""
        return list(dict.fromkeys(run.row for run in self.runs))

    @property
    def seeds(self) -> list[int]:
        """Of the runs, in order."""
        return list(dict.fromkeys(run.seed for run in self.runs))


def plan_sweep(
    suite: Suite,
    scale: str,
    data: Dataset,
    output: Path,
    *,
    registry: Registry,
    device: str = "cpu",
    methods: Sequence[str] = (),
    rows: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> Sweep:
    """All runs of a suite, or those of some methods, rows and seeds, checked before any work.

    Runs of one seed stand together, so that a sweep that is stopped has whole tables of fewer seeds.
    Raises ``UsageError`` and ``RefError`` for a name that nobody offers, an option that is wrong, and an
    accuracy that is none.
    """
    chosen = suite.scale(scale)
    named = _some("method", methods, list(chosen.methods))
    picked = _some("row", rows, suite.names)
    drawn = _some("seed", seeds, list(chosen.seeds))
    asked = (suite.audit.accuracy, *suite.audit.against)
    plan = make_plan(registry, asked)
    measured = [make_plan(registry, [text]).metrics[-1] for text in asked]
    if measured[0].spec.group != "quality":
        raise UsageError(f"audit.accuracy: '{suite.audit.accuracy}' does not say how good an encoder is.")
    build_backbone(chosen.backbone, seed=0, size=chosen.size)  # it is refused before any work
    for row in picked:
        parse_recipe(suite.row(row).recipe, registry.recipes.usable())
    for method in named:
        method_options(chosen, method, registry)
    return Sweep(
        suite=suite,
        scale_name=scale,
        output=output,
        data=data.ref,
        data_digest=data.digest,
        device=device,
        accuracy=measured[0].term,
        against=tuple(metric.term for metric in measured[1:]),
        versions=tuple(f"{metric.term} v{metric.spec.version}" for metric in plan.metrics),
        runs=tuple(
            Run(method=method, row=row, seed=seed, folder=output / method / row / f"seed-{seed}")
            for seed in drawn
            for method in named
            for row in picked
        ),
    )


def method_options(scale: Scale, method: str, registry: Registry) -> dict[str, OptionValue]:
    """The options of a method at a scale, read as its spec declares them. Raises ``UsageError``."""
    spec = registry.methods.get(method)
    if spec.build is None:
        raise UsageError(f"method '{method}' refines an encoder; a suite trains from scratch.")
    given = {name: str(value) for name, value in (scale.methods[method].options or {}).items()}
    read = read_options(given, spec.options, f"method '{method}'")
    return {name: value for name in given if (value := read[name]) is not None}


def wanted(sweep: Sweep, run: Run, registry: Registry) -> Record:
    """What is asked of a run, as its record says it before anything is done."""
    recipe = sweep.suite.row(run.row).recipe
    return Record(
        suite=sweep.suite.name,
        suite_version=sweep.suite.version,
        scale=sweep.scale_name,
        data=sweep.data,
        training=Training(
            method=run.method,
            options=method_options(sweep.scale, run.method, registry),
            choices=sweep.scale.choices(run.method, recipe, run.seed),
            recipe=parse_recipe(recipe, registry.recipes.usable()).key(),
            data_digest=sweep.data_digest,
            device=sweep.device,
            sslaudit=version("sslaudit"),
        ),
        auditing=Auditing(metrics=sweep.versions, views=sweep.suite.audit.views),
        status="started",
    )


def read_record(run: Run) -> Record | None:
    """The record of a run; None when there is none. Raises ``OutputError`` for what is no record."""
    path = run.folder / "run.json"
    try:
        return _RECORD.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise OutputError(f"'{path}' is no record of a run; write --overwrite to do it again.") from None


def write_record(run: Run, record: Record) -> None:
    """Write ``run.json`` whole or not at all. Raises ``OutputError``."""
    write_text(run.folder / "run.json", strict_json.dumps(record))


def stands(run: Run, asked: Record, *, overwrite: bool = False) -> Status | None:
    """How far a run is: ``finished``, ``trained`` and to be audited, ``started``; None from the beginning.

    Raises ``UsageError`` when what lies there was trained otherwise and is not to be overwritten.
    """
    held = None if overwrite else read_record(run)
    if held is None:
        if not overwrite and run.checkpoint.exists():
            raise UsageError(f"'{run.checkpoint}' is of no sweep; write --overwrite, or another --output.")
        return None
    if (held.suite, held.suite_version) != (asked.suite, asked.suite_version):
        before, now = (f"version {r.suite_version} of suite '{r.suite}'" for r in (held, asked))
        raise _other(run, before, now)
    if held.training != asked.training:
        raise _other(run, *_difference(held.training, asked.training))
    if held.status == "finished" and held.auditing == asked.auditing and (run.folder / "card.json").is_file():
        return "finished" if run.checkpoint.is_file() else "started"
    return "trained" if held.status in ("trained", "finished") and run.checkpoint.is_file() else "started"


def _difference(held: Training, asked: Training) -> tuple[str, str]:
    """The first thing that differs, as it was and as it is asked for."""
    ours, theirs = _flat(held), _flat(asked)
    name = next(name for name in [*ours, *theirs] if ours.get(name) != theirs.get(name))
    return f"{name} {ours.get(name)}", f"{theirs.get(name)}"


def _flat(training: Training) -> dict[str, Any]:
    own = {f.name: getattr(training, f.name) for f in fields(training) if f.name != "choices"}
    return {**asdict(training.choices), **own}


def _other(run: Run, before: str, now: str) -> UsageError:
    return UsageError(
        f"'{run.folder}' was made with {before}, not {now}; write --overwrite to do it again, "
        "or another --output."
    )


def _some(kind: str, asked: Sequence[Any], there: list[Any]) -> list[Any]:
    """``there``, or those of it that were asked for, in its order. Raises ``UsageError``."""
    for one in asked:
        if one not in there:
            known = nearest(str(one), map(str, there))
            raise UsageError(f"--{kind} {one}: the suite has no such {kind} at this scale.{known}")
    return [one for one in there if one in asked] if asked else there
