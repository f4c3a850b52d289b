"""The report card: the record of one encoder on one data set, and its JSON.

``card.json`` is strict JSON (no NaN, no Infinity). Two equal runs write equal bytes apart from
``provenance`` and ``seconds``. ``samples.parquet`` beside it holds one row for each image.

Within a schema version fields are only added, each with a default that says nothing was recorded, so
that cards of earlier versions of the program are read.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sslaudit.data import Skipped
from sslaudit.errors import CardError, OutputError, SslauditError
from sslaudit.figures import Figure
from sslaudit.report import strict_json
from sslaudit.report.anchored import AnchorRecord
from sslaudit.report.referenced import ReferenceRecord
from sslaudit.report.shifted import ShiftRecord
from sslaudit.report.strict_json import utf8 as utf8
from sslaudit.results import Bias, Check, Claim, Detail, Interval, Verdict
from sslaudit.whole import replacing

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PreprocessRecord:
    """How images became inputs."""

    size: tuple[int, int]
    """Height and width in pixels."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    crop: float
    """Share of the resized shorter side that the centre crop keeps."""
    source: str
    """Where it came from; ``assumed`` when nothing said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadRecord:
    """How the weights came into the architecture."""

    matched: int
    expected: int
    file: str = ""
    """What the file is; empty when there is none."""
    branch: str = ""
    """The part of the file that was taken."""
    others: tuple[str, ...] = ()
    """Other complete backbones in the file, with the option that takes each."""
    prefix: str
    """The prefix that was removed from every tensor name."""
    renamed: tuple[str, ...] = ()
    """Other rules that were applied to the names."""
    missing: tuple[str, ...] = ()
    """Backbone tensors that stayed at fresh values: a partial load."""
    ignored: tuple[str, ...]
    """Groups of tensors in the file that are no part of the backbone."""
    assumptions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderRecord:
    """Which encoder."""

    ref: str
    """As the user wrote it."""
    name: str
    digest: str
    """sha256 over architecture, tensor names, dtypes, shapes and bytes."""
    dim: int
    parameters: int
    modality: Literal["image", "text"]
    preprocess: PreprocessRecord
    facts: dict[str, str]
    load: LoadRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class DataRecord:
    """On which data, seen through which views."""

    ref: str
    """As the user wrote it."""
    digest: str
    """sha256 over contents, class names and splits."""
    images: int
    classes: tuple[str, ...]
    splits: dict[str, int]
    """Images in ``train`` and ``test``."""
    split_rule: str
    recipe: str
    """Canonical text with its version."""
    recipe_assumed: bool
    """Whether nothing said which recipe is the encoder's own."""
    recipe_own: bool = False
    """Whether it is the one that the encoder was trained with, by what its file says."""
    recipe_details: str
    """Every parameter of the recipe at this input size."""
    views: int
    """Views of each image, the identity view included."""
    views_mode: str
    seed: int
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRecord:
    """One number: see ``sslaudit.results.Estimate`` for the fields it copies."""

    name: str
    """The metric, and behind a dot the name of the estimate where it gives several."""
    term: str
    """As planned, with every option that is not at its default."""
    version: int
    plugin: str
    """Distribution and version that offer it."""
    source: str
    summary: str
    """What the number is, as the label of its row."""
    paper: str = ""
    """The paper's word for it, where the label is a plainer one; empty where they are the same."""
    formula: str = ""
    """How the value is computed, as its metric writes it."""
    group: str
    options: dict[str, str | int | float | bool | None]
    value: float | None
    reason: str
    interval: Interval | None
    no_interval: str
    direction: str
    unit: str
    claim: Claim
    bias: Bias
    verdict: Verdict
    minor: bool = False
    note: str
    headline: dict[str, str] = field(default_factory=dict)
    """Lines for the first screen: a word in capitals, and its sentence."""
    details: dict[str, Detail]
    figures: tuple[Figure, ...]
    n_images: int
    n_views: int
    space: Literal["embedding", "projection", ""] = ""
    """Where the features it read live; empty when it read none, or the card does not say."""
    seconds: float

    @property
    def row(self) -> str:
        """The term, with the name of the estimate where the metric gives several: ``knn(k=5).top-5``."""
        return self.term + self.name.removeprefix(self.name.partition(".")[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What is needed to repeat the run."""

    sslaudit: str
    python: str
    torch: str
    device: str
    precision: str
    precision_floor: float | None
    """Largest distance between unit embeddings in this precision and in float32, on a probe batch."""
    precision_reason: str = "not recorded"
    """Who chose the precision, and by what measurement."""
    compiled: bool = False
    """Whether the encoder was compiled by ``torch.compile``."""
    batch_size: int
    """Views in one forward pass; float32 features agree over batch sizes to about 1e-5."""
    command: str
    started: str
    """UTC, ISO 8601."""
    seconds: float
    cached_views: int
    """Views that came from the cache."""
    images_per_second: float | None = None
    """Images a second through the encoder alone, one view of each, on this device and in this precision;
    None where it was not measured."""
    plugins: dict[str, str]
    """Distribution and version by plugin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportCard:
    """Everything that was found about one encoder on one data set."""

    schema_version: int = SCHEMA_VERSION
    encoder: EncoderRecord
    data: DataRecord
    suite: str | None = None
    checks: tuple[Check, ...]
    metrics: tuple[MetricRecord, ...]
    anchors: tuple[AnchorRecord, ...] = ()
    """What the same probes reach on raw pixels and on an untrained copy."""
    shift: ShiftRecord | None = None
    """What the same probes reach on the images of another data set."""
    references: tuple[ReferenceRecord, ...] = ()
    """What encoders reach that were trained on the same data."""
    problems: tuple[str, ...]
    """What went wrong and did not stop the run."""
    provenance: Provenance
    samples: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Columns of ``samples.parquet``: ``id`` and ``<metric term>/<column>``; not part of the JSON."""

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        """Checks that keep this card off every ranking."""
        return tuple(check for check in self.checks if check.status == "fail")

    @property
    def leading(self) -> MetricRecord | None:
        """The accuracy that stands for the card: the first with an interval; None without one."""
        return next(
            (record for record in self.metrics if record.group == "quality" and record.interval), None
        )

    def metric(self, name: str) -> MetricRecord:
        """The first metric of that name or term. Raises ``KeyError`` naming what there is."""
        for record in self.metrics:
            if name in (record.name, record.term):
                return record
        raise KeyError(f"no metric '{name}' on this card; there is {', '.join(m.name for m in self.metrics)}")

    def _repr_html_(self) -> str:
        from sslaudit.report.html import fragment

        return fragment(self)


def to_json(card: ReportCard) -> str:
    """``card.json`` as text: strict JSON, UTF-8, undecodable file names escaped."""
    return strict_json.dumps(card, leave_out=("samples",))


def from_json(text: str, where: str) -> ReportCard:
    """A card from the text of ``card.json``. Raises ``CardError`` naming the first field that is wrong,
    or the schema version where it is another one."""
    from pydantic import ValidationError

    try:
        version = strict_json.loads(text)["schema_version"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        missing = "schema_version is missing" if isinstance(error, LookupError | TypeError) else error
        raise CardError(f"{where} is not a report card: {missing}.") from None
    if version != SCHEMA_VERSION:
        raise CardError(
            f"{where} has schema version {version}; sslaudit {_release()} reads version {SCHEMA_VERSION}."
        )
    try:
        card: ReportCard = _adapter().validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CardError(f"{where} is not a report card: {place}: {first['msg']}.") from None
    except SslauditError as error:  # a figure or an interval that contradicts itself
        raise CardError(f"{where} is not a report card: {error}") from None
    return card


def json_schema() -> dict[str, Any]:
    """The JSON schema of ``card.json``."""
    return strict_json.schema(ReportCard, "sslaudit report card", leave_out=("samples",))


def write_card(card: ReportCard, folder: Path) -> Path:
    """Write ``card.json`` and ``samples.parquet`` whole or not at all; returns the path of the JSON."""
    text = to_json(card)
    path, samples = folder / "card.json", folder / "samples.parquet"
    before = path.is_file()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(samples) as beside:
            _write_samples(card, beside)
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        if not before:  # samples without a card are half a report
            samples.unlink(missing_ok=True)
        raise OutputError(f"cannot write to '{folder}': {error.strerror or error}.") from error
    return path


def read_card(path: str | Path) -> ReportCard:
    """The card at ``path`` (a folder or its ``card.json``), with its samples when they lie beside it."""
    import pyarrow.parquet as pq

    path = Path(path)
    path = path / "card.json" if path.is_dir() else path
    try:
        card = from_json(path.read_text(encoding="utf-8"), f"'{path}'")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(f"cannot read the card '{path}': {error}.") from None
    samples = path.with_name("samples.parquet")
    try:
        columns = pq.read_table(samples).to_pydict() if samples.is_file() else {}
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise CardError(f"cannot read the samples of a card, '{samples}': {error}.") from None
    return dataclasses.replace(card, samples=columns)


def _write_samples(card: ReportCard, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {utf8(name): [_storable(value) for value in column] for name, column in card.samples.items()}
    pq.write_table(pa.table(columns), path)


def _storable(value: Any) -> Any:
    return utf8(value) if isinstance(value, str) else value


def _release() -> str:
    from importlib.metadata import version

    return version("sslaudit")


@functools.cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(ReportCard)
