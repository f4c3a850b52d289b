"""What ``sslaudit inspect`` finds: the load audit of one encoder as a record, a page and JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from rich.console import Group, RenderableType
from rich.text import Text

from sslaudit.encoder import Encoder
from sslaudit.report import phrases, strict_json, words
from sslaudit.report.card import EncoderRecord
from sslaudit.report.records import encoder_record
from sslaudit.report.terminal import listing

SCHEMA_VERSION = 1

_WIDTH = 80
_LONGEST_NAME = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """How the weights of one encoder came into its architecture. No data was read."""

    schema_version: int = SCHEMA_VERSION
    status: Literal["loaded", "partial", "not loaded"]
    summary: str
    """The status in one sentence."""
    encoder: EncoderRecord
    projection: int | None
    """Dimension of the projection, when the file holds its projector."""
    warnings: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether scores of this encoder belong on no ranking."""
        return self.status != "loaded"


def inspection(encoder: Encoder) -> Inspection:
    """The record of ``encoder``; one zero embedding goes through its projector."""
    record = encoder_record(encoder)
    brand = words.brand(record)
    status: Literal["loaded", "partial", "not loaded"] = "loaded"
    if brand != "LOADED":
        status = "partial" if brand == "PARTIAL" else "not loaded"
    return Inspection(
        status=status,
        summary=_summary(encoder, record),
        encoder=record,
        projection=_projection(encoder),
        warnings=tuple(words.trusted(record)),
    )


def to_json(found: Inspection) -> str:
    """The record as strict JSON."""
    return strict_json.dumps(found)


def json_schema() -> dict[str, Any]:
    """The JSON schema of ``sslaudit inspect --json``."""
    return strict_json.schema(Inspection, "sslaudit inspection")


def page(found: Inspection) -> RenderableType:
    """What a person reads: the sentence that matters, then file, encoder and preprocessing."""
    head = [(found.status.upper(), found.summary), *(("WARNING", warning) for warning in found.warnings)]
    sections = [head, *(list(section(found)) for section in (_file, _encoder, _input))]
    first = max(len(name) for lines in sections for name, _ in lines)
    blocks: list[RenderableType] = [Text(phrases.cut(found.encoder.ref, _WIDTH), style="bold")]
    for lines in filter(None, sections):
        blocks += [listing(lines, first=first), Text()]
    return Group(*blocks[:-1])


def _summary(encoder: Encoder, record: EncoderRecord) -> str:
    load = encoder.load
    if "weights" in record.facts:
        return f"{record.name} with fresh weights ({record.facts['weights']}): a control"
    if load.expected and load.complete:
        return f"all {load.expected} backbone tensors of {record.name}"
    return f"{load.sentence()} ({record.name})"


def _projection(encoder: Encoder) -> int | None:
    if encoder.project is None:
        return None
    with torch.inference_mode():
        return int(encoder.project(torch.zeros(1, encoder.dim)).shape[1])


def _file(found: Inspection) -> Iterator[tuple[str, str]]:
    load = found.encoder.load
    if load.file:
        yield "file", load.file
    if load.branch or load.others:
        yield "branch", load.branch or "the whole file"
    for other in load.others:
        yield "also there", other
    if load.expected:
        yield "matched", f"{load.matched} of {load.expected} backbone tensors"
    if load.prefix:
        yield "prefix", f"'{load.prefix}' removed from every name"
    for rule in load.renamed:
        yield "renamed", rule
    if load.missing:
        yield "fresh", ", ".join(load.missing)
    if load.ignored:
        yield "left out", ", ".join(load.ignored)


def _encoder(found: Inspection) -> Iterator[tuple[str, str]]:
    encoder = found.encoder
    dims = f"{encoder.dim}-d, {phrases.count(encoder.parameters)} parameters"
    yield "encoder", f"{encoder.name}, {dims}"
    facts = dict(encoder.facts)
    if found.projection is not None:
        said = facts.pop("projector", "")
        yield "projector", f"to {found.projection}-d, for --space projection{f'; {said}' if said else ''}"
    for name, value in sorted(facts.items()):
        yield phrases.cut(name, _LONGEST_NAME), value
    yield "digest", encoder.digest


def _input(found: Inspection) -> Iterator[tuple[str, str]]:
    geometry, normalisation, source = words.preprocessing(found.encoder.preprocess)
    yield "input", geometry
    yield "normalised", normalisation
    yield "from", source
    for assumption in found.encoder.load.assumptions:
        yield "ASSUMED", assumption
