"""A suite: which methods are trained with which recipes, at which scale, and what is asked of each.

It is a TOML file. ``registry/suites`` holds those of the published tables. Numbers that were published
stand in it beside what is to be measured, and are never mixed with it.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from sslaudit.errors import UsageError
from sslaudit.named import read_toml
from sslaudit.registry import nearest
from sslaudit.specs import LARGEST_SEED, OptionValue
from sslaudit.train.choices import Choices

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What stands in the name of a folder on every file system."""
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One recipe of the table."""

    __pydantic_config__ = _STRICT
    name: str
    recipe: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodAtScale:
    """What a method is given at one scale, beside what all have in common."""

    __pydantic_config__ = _STRICT
    lr: Annotated[float, Field(gt=0)]
    options: Mapping[str, OptionValue] | None = None
    """The method's own, as ``sslaudit list methods`` names them."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """In place of that of the scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """On what data the suite runs, and with how much work."""

    __pydantic_config__ = _STRICT
    summary: str
    data: str
    backbone: str
    size: Count
    epochs: Count
    batch_size: Count
    optimiser: Literal["adamw", "sgd", "lars"]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)]
    warm_up: Annotated[float, Field(ge=0, lt=1)]
    clip: Annotated[float, Field(gt=0)] | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    seeds: tuple[Seed, ...]
    methods: Mapping[str, MethodAtScale]
    notes: tuple[str, ...] = ()
    """Sentences that a reader of the table needs at this scale."""

    def choices(self, method: str, recipe: str, seed: int) -> Choices:
        """All choices of one run."""
        own = self.methods[method]
        return Choices(
            backbone=self.backbone,
            size=self.size,
            recipe=recipe,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimiser=self.optimiser,
            lr=own.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay if own.weight_decay is None else own.weight_decay,
            warm_up=self.warm_up,
            clip=self.clip,
            precision=self.precision,
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What is measured of each encoder; views are the same for all of one row."""

    __pydantic_config__ = _STRICT
    accuracy: str
    """The metric that says how good an encoder is."""
    against: tuple[str, ...]
    """Metrics that accuracy is held against; the first is the horizontal axis of the figure."""
    views: Count = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Numbers that were reported by others: mean and deviation over their runs, in per cent."""

    __pydantic_config__ = _STRICT
    source: str
    data: str
    note: str = ""
    columns: tuple[str, ...]
    """Methods."""
    rows: Mapping[str, tuple[tuple[float, float], ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """What is trained, what is measured, and what others reported."""

    __pydantic_config__ = _STRICT
    name: str
    version: Count
    """Raised whenever its runs change."""
    summary: str
    source: str
    rows: tuple[Row, ...]
    expected: tuple[tuple[str, ...], ...]
    """Rows in the order that the source reports, the most accurate first; several where it is partial."""
    audit: Audit
    scales: Mapping[str, Scale]
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()

    def row(self, name: str) -> Row:
        """The row of that name. Raises ``UsageError``."""
        for row in self.rows:
            if row.name == name:
                return row
        raise UsageError(f"suite '{self.name}' has no row '{name}'.{nearest(name, self.names)}")

    def scale(self, name: str) -> Scale:
        """The scale of that name. Raises ``UsageError``."""
        if name not in self.scales:
            raise UsageError(f"suite '{self.name}' has no scale '{name}'.{nearest(name, self.scales)}")
        return self.scales[name]

    @property
    def names(self) -> list[str]:
        """Of the rows, in order."""
        return [row.name for row in self.rows]

    def neighbours(self, rows: Collection[str]) -> list[tuple[str, str]]:
        """Pairs next to each other among ``rows``, of which the source reports the first as more accurate."""
        chains = ([name for name in chain if name in rows] for chain in self.expected)
        return list(dict.fromkeys(pair for chain in chains for pair in pairwise(chain)))


_SUITE = TypeAdapter(Suite)


def read_suite(path: Path) -> Suite:
    """The suite in a TOML file. Raises ``UsageError`` that names the field which is wrong."""
    content = read_toml(path, "the suite")
    try:
        suite = _SUITE.validate_python(content)
    except ValidationError as error:
        raise UsageError(f"the suite '{path}': {_first(error)}.") from None
    for fault in _faults(suite):
        raise UsageError(f"the suite '{path}': {fault}.")
    return suite


def _first(error: ValidationError) -> str:
    """The first fault by the name of its field; ``field required`` of a misspelt one is said last."""
    found = error.errors(include_url=False)
    one: Any = next((e for e in found if e["type"] == "unexpected_keyword_argument"), found[0])
    place = ".".join(str(part) for part in one["loc"] if not str(part).startswith(("function", "union")))
    if one["type"] == "unexpected_keyword_argument":
        return f"{place}: there is no such field"
    message = str(one["msg"])
    return f"{place}: {message[0].lower()}{message[1:]}"


def _faults(suite: Suite) -> Iterator[str]:
    """What fields say that does not go together, in words."""
    for where, names in (
        ("rows", suite.names),
        *((f"scales.{s}.methods", [*of.methods]) for s, of in suite.scales.items()),
    ):
        if not names:
            yield f"{where}: there is none"
        if len(set(names)) < len(names):
            yield f"{where}: a name stands there twice"
        for name in names:
            if not _NAME.fullmatch(name):
                yield f"{where}: '{name}' is no name of a folder: letters, digits, '.', '_' and '-' are"
    if not suite.scales:
        yield "scales: there is none"
    for name, scale in suite.scales.items():
        if not scale.seeds or len(set(scale.seeds)) < len(scale.seeds):
            yield f"scales.{name}.seeds: one seed or more, each once"
    if not suite.audit.against:
        yield "audit.against: there is none"
    for chain in suite.expected:
        if len(chain) < 2 or len(set(chain)) < len(chain):
            yield f"expected: {', '.join(chain) or 'nothing'}: an order has two rows or more, each once"
        yield from (f"expected: there is no row '{name}'" for name in chain if name not in suite.names)
    for table in suite.published:
        for name, cells in table.rows.items():
            if name not in suite.names:
                yield f"published, {table.data}: there is no row '{name}'"
            if len(cells) != len(table.columns):
                yield f"published, {table.data}, {name}: {len(cells)} cells for {len(table.columns)} columns"
