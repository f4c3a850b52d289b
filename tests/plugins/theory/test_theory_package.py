"""What the package offers, and what listing it loads."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import sslaudit_theory

LISTING = """
import sys
import pluggy
import sslaudit.hookspecs
import sslaudit_theory
manager = pluggy.PluginManager(sslaudit.hookspecs.GROUP)
manager.add_hookspecs(sslaudit.hookspecs)
manager.register(sslaudit_theory)
((*specs,),) = manager.hook.sslaudit_metrics()
print(*(spec.name for spec in specs))
print(*sorted({"numpy", "torch", "scipy", "sklearn"} & set(sys.modules)))
"""


def test_listing_loads_no_array_library() -> None:
    answer = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == ["alignment divergence", ""]


def test_all_is_what_resolves() -> None:
    assert sslaudit_theory.__all__ == sorted(sslaudit_theory._HOME)
    for name, module in sslaudit_theory._HOME.items():
        function = getattr(sslaudit_theory, name)
        assert function is getattr(import_module(f"sslaudit_theory.{module}"), name)
        assert function.__module__ == f"sslaudit_theory.{module}"


def test_no_module_hides_a_function() -> None:
    modules = {module.name for module in pkgutil.iter_modules(sslaudit_theory.__path__)}
    assert not modules & set(sslaudit_theory.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sslaudit_theory' has no attribute 'uniformty'"):
        sslaudit_theory.uniformty  # noqa: B018


def test_the_specs() -> None:
    alignment, divergence = sslaudit_theory.sslaudit_metrics()
    assert (alignment.summary, divergence.summary) == ("view spread", "centre overlap, worst pair")
    assert alignment.needs.views == 2
    assert not alignment.needs.labels
    assert (divergence.needs.views, divergence.needs.labels) == (1, True)
    for spec in (alignment, divergence):
        assert (spec.direction, spec.group) == ("lower", "factor")
