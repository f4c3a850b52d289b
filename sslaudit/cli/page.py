"""``sslaudit list KIND NAME``: everything that is known of one metric, scheme, recipe or method."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sslaudit.described import documentation, labelled
from sslaudit.host import Plugin
from sslaudit.specs import MethodSpec, MetricSpec, Needs, Option

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}

_GROUPS = {
    "quality": "how good",
    "factor": "why",
    "data": "of the data, the same for every encoder",
    "guarantee": "what theory guarantees",
    "shape": "the shape of the embedding",
    "classes": "the classes in the embedding",
    "change": "what a change of the image does",
    "pretext": "what pretext tasks can give",
    "other": "the rest",
}
_BETTER = {"higher": "higher is better", "lower": "lower is better", "none": "neither end is better"}
_SPACES = {
    "embedding": "embeddings",
    "projection": "projections",
    "both": "embeddings, and projections where the checkpoint holds its projector",
    "trained": "projections where the checkpoint holds its projector, else embeddings",
}


def page(name: str, spec: Any, plugin: Plugin | None) -> RenderableType:
    """Facts, options, and of a metric what its ``compute`` says of itself. Raises ``PluginError``."""
    options: tuple[Option, ...] = getattr(spec, "options", ())
    summary = spec.summary
    for option in options:
        summary = summary.replace(f"{{{option.name}}}", str(option.default))
    blocks: list[RenderableType] = [Text.assemble((name, "bold"), f"   {summary}")]
    facts = {"plugin": str(plugin or ""), **_facts(spec)}
    if rows := [(label, Text(said)) for label, said in facts.items() if said]:
        blocks += [Text(), grid(rows)]
    if options:
        rows = [(option.name, _option(option)) for option in options]
        blocks += [Text(), Text("options"), Padding(grid(rows), (0, 0, 0, 2))]
    if isinstance(spec, MetricSpec) and (described := documentation(spec, plugin)):
        blocks += [Text(), *_described(described)]
    return Group(*blocks)


def _facts(spec: Any) -> dict[str, str]:
    """What stands in the fields of a spec, in words."""
    said = {"version": str(getattr(spec, "version", ""))}
    if isinstance(spec, MetricSpec):
        by_default = "on every card" if spec.default else "only when named: --metrics " + spec.name
        said |= {
            "runs": by_default,
            "group": f"{spec.group}: {_GROUPS[spec.group]}",
            "range": _range(spec),
            "direction": _BETTER[spec.direction],
            "unit": spec.unit or "none",
            "needs": "; ".join(_needs(spec.needs)),
        }
    if isinstance(spec, MethodSpec):
        said |= _of_method(spec)
    said["terms"] = " | ".join("+".join(map(str, side)) for side in _sides(spec))
    said.setdefault("example", getattr(spec, "example", ""))
    said["source"] = getattr(spec, "source", "")
    return said


def _of_method(spec: MethodSpec) -> dict[str, str]:
    written = spec.name
    if known := [option for option in spec.options if option.default is not None]:
        written = f"'{spec.name}({known[0].name}={known[0].default})'"
    refined = "" if spec.build else " --encoder REF"
    return {
        "trains": "an encoder, without labels" if spec.build else "a head on top of --encoder",
        "recipe": spec.recipe if spec.build else "",
        "heads": spec.heads,
        "example": f"sslaudit train {written}{refined} --data DATA --output run/last.pt",
    }


def _range(spec: MetricSpec) -> str:
    low, high = ("" if end is None else f"{end:g}" for end in spec.range)
    if low and high:
        return f"{low} to {high}"
    return f"from {low}" if low else f"up to {high}" if high else "any number"


def _needs(needs: Needs) -> Iterator[str]:
    if needs.embeddings:
        yield "the embedding of each image"
    if needs.views:
        yield f"at least {_views(needs.views)} of each image, embedded"
    if needs.pixel_views:
        yield f"at least {_views(needs.pixel_views)} of each image, as pixels"
    if needs.labels is True:
        fewest = f", {needs.min_per_class} training images of each class" if needs.min_per_class > 1 else ""
        yield f"class labels and held-out images{fewest}"
    elif needs.labels:
        yield "class labels, and says less without"
    if needs.altered:
        yield "extra passes of the encoder, over altered images"
    if needs.encoder:
        yield "the encoder itself"
    if needs.results:
        yield f"the results of {', '.join(needs.results)}"
    if needs.embeddings or needs.views or needs.altered:
        yield f"reads {_SPACES[needs.space]}"


def _views(number: int) -> str:
    return f"{number} view{'s' * (number > 1)}"


def _sides(spec: Any) -> list[Any]:
    """The distributions of a recipe, each as its terms."""
    return [side for name in ("terms", "second") if (side := getattr(spec, name, ()))]


def _option(option: Option) -> Text:
    """Type, default, limits, and what it does."""
    said = [_KINDS[option.type]]
    said.append("no default" if option.default is None else f"default {option.default}")
    if option.minimum is not None:
        said.append(f"at least {option.minimum:g}")
    if option.maximum is not None:
        said.append(f"at most {option.maximum:g}")
    if option.choices:
        said.append(f"one of {', '.join(option.choices)}")
    return Text(f"{option.help}\n{', '.join(said)}" if option.help else ", ".join(said))


def _described(text: str) -> Iterator[RenderableType]:
    """A docstring: its first part, then a row for each labelled line."""
    said, rows = labelled(text)
    for paragraph in said:
        yield from (Text(paragraph), Text())
    if rows:
        yield grid([(f"{label}:", Text(what)) for label, what in rows.items()])


def grid(rows: list[tuple[str, Text]]) -> Table:
    """Labels, and what is said of each beside them."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, said in rows:
        table.add_row(Text(label, style="bold" if label.endswith(":") else ""), said)
    return table
