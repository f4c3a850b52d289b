"""What the ``compute`` of a metric says of itself: the labelled paragraphs of its docstring."""

import inspect
import re
from collections.abc import Iterator, Sequence

from sslaudit.errors import PluginError
from sslaudit.host import Plugin
from sslaudit.specs import Deferred, MetricSpec

LABELS = ("Formula", "Shapes", "Range", "Typical", "High", "Low", "Bias", "Source")
"""What the docstring of the ``compute`` of a metric says, each in a paragraph of its own, in this order."""

_LABEL = re.compile(rf"({'|'.join(LABELS)}): *")


def documentation(spec: MetricSpec, plugin: Plugin | None = None) -> str:
    """The docstring of ``compute``, which is imported for it and not run; empty when it has none.

    Raises ``PluginError`` when it cannot be imported.
    """
    compute = spec.compute
    if isinstance(compute, Deferred):
        try:
            compute = compute.resolve()
        except Exception as error:  # a plugin may be anybody's code
            owner = f"plugin {plugin}" if plugin else "its plugin"
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise PluginError(f"{owner} failed on metric '{spec.name}': {reason}") from error
    return (inspect.getdoc(compute) or "") if inspect.isroutine(compute) else ""


def labelled(text: str) -> tuple[list[str], dict[str, str]]:
    """A docstring as the paragraphs before the first label, and what stands behind each of ``LABELS``."""
    before: list[str] = []
    rows: dict[str, str] = {}
    label = ""
    for paragraph in _paragraphs(text.replace("``", "'").splitlines()):
        if found := _LABEL.match(paragraph):
            label = found[1]
            rows[label] = paragraph[found.end() :]
        elif label:
            rows[label] += f"\n{paragraph}"
        else:
            before.append(paragraph)
    return before, rows


def formula(spec: MetricSpec) -> str:
    """What stands behind ``Formula:``; empty when there is no such paragraph, or nothing can be imported."""
    try:
        return labelled(documentation(spec))[1].get("Formula", "")
    except PluginError:
        return ""


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """Wrapped lines joined; blank lines, labels and bullets start anew, indented blocks stay as they are."""
    held: list[str] = []
    apart, block = True, False
    for line in lines:
        bullet = line.lstrip().startswith("* ")
        block = line.startswith("    ") and (apart or block) and not bullet
        if held and (apart or block or bullet or _LABEL.match(line)):
            yield " ".join(held)
            held = []
        if line.strip():
            held.append(line.rstrip() if block else line.strip())
        apart = not line.strip()
    if held:
        yield " ".join(held)
