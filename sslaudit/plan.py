"""From metric terms to an ordered plan: which metrics run, with which options, on what."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from sslaudit.errors import PluginError, UsageError
from sslaudit.refs import Term, split_terms
from sslaudit.registry import Registry
from sslaudit.specs import MetricSpec, OptionValue, read_options

Space = Literal["embedding", "projection"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedMetric:
    """One metric with its options read."""

    spec: MetricSpec
    options: Mapping[str, OptionValue | None]
    plugin: str
    """Distribution and version that offer it."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """By name of a metric whose result is read, the ``key`` of the planned one."""
    beside: bool = False
    """Whether it repeats on projections what runs on embeddings too."""

    @property
    def term(self) -> str:
        """Canonical spelling: the name and every option that is not at its default."""
        defaults = {option.name: option.default for option in self.spec.options}
        changed = {name: str(v) for name, v in self.options.items() if v is not None and v != defaults[name]}
        return str(Term(self.spec.name, changed))

    @property
    def key(self) -> str:
        """The term, marked where the metric runs in a second space."""
        return f"projection:{self.term}" if self.beside else self.term

    @property
    def space(self) -> Space | Literal[""]:
        """Where the features it reads live; empty when it reads none. Known after ``Plan.on``."""
        needs = self.spec.needs
        if not (needs.embeddings or needs.views or needs.altered):
            return ""
        return "projection" if needs.space == "projection" else "embedding"

    @property
    def label(self) -> str:
        """The summary with the value of each option that it names: ``1-NN, 3 labels a class``."""
        label = self.spec.summary
        for name, value in self.options.items():
            label = label.replace(f"{{{name}}}", str(value))
        return label

    def on(self, *, projector: bool) -> tuple["PlannedMetric", ...]:
        """This metric in each space of an encoder with or without a projector, that it is to run in."""
        space = self.spec.needs.space
        if space not in ("both", "trained") or not self.space:
            return (self,)
        if space == "trained":
            return (self._in("projection" if projector else "embedding"),)
        on_embeddings = self._in("embedding")
        if not projector:
            return (on_embeddings,)
        return (on_embeddings, replace(self._in("projection"), beside=True))

    def _in(self, space: Space) -> "PlannedMetric":
        return replace(self, spec=replace(self.spec, needs=replace(self.spec.needs, space=space)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Metrics in the order in which they run, and the union of what they need."""

    metrics: tuple[PlannedMetric, ...]

    @property
    def views(self) -> bool:
        """Whether any metric reads views, as embeddings or as pixels."""
        return any(max(m.spec.needs.views, m.spec.needs.pixel_views) > 0 for m in self.metrics)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The feature spaces that must be extracted."""
        return tuple(sorted({metric.space for metric in self.metrics if metric.space}))

    def on(self, *, projector: bool) -> "Plan":
        """The plan for an encoder with or without a projector: each metric reads one space.

        A metric that reads a result reads the one of its own space, where there is one.
        """
        metrics = [one for metric in self.metrics for one in metric.on(projector=projector)]
        there = {metric.key for metric in metrics}
        return Plan(metrics=tuple(_reading_beside(metric, there) for metric in metrics))


def make_plan(registry: Registry, metrics: str | Sequence[str] | None, *, space: Space = "embedding") -> Plan:
    """Plan the metrics named in ``metrics`` (``knn(k=5),alignment``), or the default ones.

    With ``space="projection"`` every metric that reads features reads projections. Metrics whose
    results another one reads are added and run first, with its options where they have options of
    the same names. Raises ``RefError`` for an unknown metric, ``UsageError`` for a bad option or a
    metric named twice with equal options, and ``PluginError`` for a metric that reads what no
    plugin offers, or its own result.
    """
    if metrics is None:
        terms = [Term(name) for name, spec in registry.metrics.usable().items() if spec.default]
    else:
        parts = [metrics] if isinstance(metrics, str) else metrics
        terms = [term for part in parts for term in split_terms(part, ",")]
    if not terms:
        raise UsageError("no metric is asked for.")
    planned: dict[str, PlannedMetric] = {}
    for term in terms:
        metric = _plan_one(registry, term)
        if metric.term in planned:
            raise UsageError(f"metric '{metric.term}' is asked for twice.")
        planned[metric.term] = metric
    _add_required(registry, planned)
    in_order = _in_order(planned)
    return Plan(metrics=tuple(map(_on_projections, in_order) if space == "projection" else in_order))


def _on_projections(metric: PlannedMetric) -> PlannedMetric:
    if not metric.space:
        return metric
    return replace(metric, spec=replace(metric.spec, needs=replace(metric.spec.needs, space="projection")))


def _reading_beside(metric: PlannedMetric, there: Collection[str]) -> PlannedMetric:
    if not metric.beside:
        return metric
    beside = {name: f"projection:{key}" for name, key in metric.reads.items()}
    return replace(
        metric, reads={name: key if key in there else metric.reads[name] for name, key in beside.items()}
    )


def _plan_one(registry: Registry, term: Term) -> PlannedMetric:
    spec = registry.metrics.get(term.name)
    owner = registry.metrics.owner(term.name)
    options = read_options(term.options, spec.options, f"metric '{spec.name}'")
    if wrong := spec.check(options) if spec.check else "":
        raise UsageError(f"metric '{spec.name}': {wrong}")
    return PlannedMetric(spec=spec, options=options, plugin=f"{owner.distribution} {owner.version}")


def _add_required(registry: Registry, planned: dict[str, PlannedMetric]) -> None:
    """Plan what is read and not asked for, and note who reads what."""
    waiting = list(planned.values())
    while waiting:
        reader = waiting.pop()
        reads = {}
        for name in reader.spec.needs.results:
            if name not in registry.metrics.names():
                raise PluginError(
                    f"metric '{reader.spec.name}' ({reader.plugin}) reads the result of '{name}', "
                    "which no plugin offers."
                )
            known = {option.name for option in registry.metrics.get(name).options}
            handed = {o: str(v) for o, v in reader.options.items() if o in known and v is not None}
            read = _plan_one(registry, Term(name, handed))
            reads[name] = read.term
            if read.term not in planned:
                planned[read.term] = read
                waiting.append(read)
        planned[reader.term] = replace(reader, reads=reads)


def _in_order(planned: Mapping[str, PlannedMetric]) -> list[PlannedMetric]:
    graph = {term: dict.fromkeys(metric.reads.values()) for term, metric in planned.items()}
    try:
        return [planned[term] for term in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise PluginError(f"metrics need each other's results: {' -> '.join(error.args[1])}.") from None
