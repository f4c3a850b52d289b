"""The plugin host: loads every entry point of the group ``sslaudit``, each behind a guard.

A plugin that fails to import, to register or to list is rolled back whole and recorded with a
one-line reason; the others go on. ``SSLAUDIT_DISABLE_PLUGINS=a,b`` skips plugins by entry-point or
distribution name. ``SSLAUDIT_PLUGINS=strict`` raises at the first failure.
"""

import contextlib
import os
import sys
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Literal

import pluggy

from sslaudit import hookspecs
from sslaudit.errors import PluginError, RefError
from sslaudit.hookspecs import GROUP
from sslaudit.refs import DataRef, Term
from sslaudit.specs import DatasetScheme, EncoderScheme, MethodSpec, MetricSpec, RecipeSpec

Spec = EncoderScheme | MetricSpec | DatasetScheme | RecipeSpec | MethodSpec

KINDS: dict[str, type[Spec]] = {
    "encoders": EncoderScheme,
    "metrics": MetricSpec,
    "datasets": DatasetScheme,
    "recipes": RecipeSpec,
    "methods": MethodSpec,
}
"""What plugins offer; the hook of a kind is ``sslaudit_<kind>``."""


@dataclass(slots=True)
class Plugin:
    """One entry point and what became of it."""

    name: str
    distribution: str
    version: str
    status: Literal["ok", "failed", "disabled", "conflict"] = "ok"
    reason: str = ""
    offers: dict[str, list[Spec]] = field(default_factory=dict)
    """Specs by kind."""

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


def load_plugins(*, strict: bool | None = None) -> list[Plugin]:
    """All plugins in order of name. What they print goes to stderr.

    Raises ``PluginError`` at the first failure when strict, and when the metadata of the installed
    packages cannot be read.
    """
    if strict is None:
        strict = os.environ.get("SSLAUDIT_PLUGINS") == "strict"
    disabled = {name.strip() for name in os.environ.get("SSLAUDIT_DISABLE_PLUGINS", "").split(",")}
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    plugins = []
    for entry in _entries():
        plugin = _describe(entry)
        plugins.append(plugin)
        if {plugin.name, plugin.distribution} & disabled:
            plugin.status, plugin.reason = "disabled", "SSLAUDIT_DISABLE_PLUGINS"
            continue
        _guarded_load(manager, entry, plugin)
        if strict and plugin.status == "failed":
            raise PluginError(f"plugin {plugin} failed: {plugin.reason}")
    _mark_conflicts(plugins)
    return plugins


def _entries() -> list[metadata.EntryPoint]:
    try:
        found = metadata.entry_points(group=GROUP)
    except Exception as error:
        raise PluginError(
            f"an installed package has a malformed entry_points.txt: {_one_line(error)}"
        ) from error
    return sorted(found, key=lambda entry: (entry.name, entry.value))


def _describe(entry: metadata.EntryPoint) -> Plugin:
    # Both are None at run time for a package that lost its METADATA.
    distribution = (entry.dist.name if entry.dist else None) or "unknown"
    version = (entry.dist.version if entry.dist else None) or "unknown"
    return Plugin(name=entry.name, distribution=distribution, version=version)


def _guarded_load(manager: pluggy.PluginManager, entry: metadata.EntryPoint, plugin: Plugin) -> None:
    unique = f"{plugin.distribution}:{entry.name}"
    try:
        with contextlib.redirect_stdout(sys.stderr):
            loaded = entry.load()
            manager.register(loaded, unique)
            plugin.offers = _offers(manager, loaded)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may fail in any way, try to exit, or panic in Rust
        if manager.has_plugin(unique):
            manager.unregister(name=unique)
        plugin.status, plugin.reason = "failed", _one_line(error)


def _offers(manager: pluggy.PluginManager, loaded: object) -> dict[str, list[Spec]]:
    offers: dict[str, list[Spec]] = {}
    for caller in manager.get_hookcallers(loaded) or []:
        if not caller.has_spec():
            known = ", ".join(f"sslaudit_{kind}" for kind in KINDS)
            raise PluginError(f"unknown hook {caller.name}; the hooks are {known}")
        kind = caller.name.removeprefix("sslaudit_")
        for implementation in caller.get_hookimpls():
            if implementation.plugin is loaded:
                offers[kind] = _checked(kind, implementation.function())
    return offers


def _checked(kind: str, given: Any) -> list[Spec]:
    specs = list(given)
    for spec in specs:
        if not isinstance(spec, KINDS[kind]):
            raise PluginError(f"sslaudit_{kind} gave a {type(spec).__name__}, not a {KINDS[kind].__name__}")
        if not _can_be_typed(spec):
            raise PluginError(f"sslaudit_{kind} gave the name {name_of(spec)!r}, which cannot be typed")
    return specs


def _can_be_typed(spec: Spec) -> bool:
    name = name_of(spec)
    try:
        if isinstance(spec, EncoderScheme | DatasetScheme):
            return DataRef.parse(f"{name}:").scheme == name
        return isinstance(name, str) and Term.parse(name) == Term(name)
    except RefError:
        return False


def _mark_conflicts(plugins: list[Plugin]) -> None:
    owners: dict[tuple[str, str], list[Plugin]] = {}
    for plugin in plugins:
        for kind, specs in plugin.offers.items():
            for spec in specs:
                owners.setdefault((kind, name_of(spec)), []).append(plugin)
    for (kind, name), both in owners.items():
        if len(both) > 1:
            for plugin in both:
                plugin.status = "conflict"
                others = " and ".join(str(other) for other in both if other is not plugin) or "itself"
                plugin.reason = f"{kind[:-1]} '{name}' is also offered by {others}"


def name_of(spec: Spec) -> str:
    """What the user types to name it."""
    return spec.scheme if isinstance(spec, EncoderScheme | DatasetScheme) else spec.name


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text}"[:200]
