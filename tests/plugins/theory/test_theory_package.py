"""What the package offers, and what listing it loads."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import sslaudit_theory
from sslaudit_theory.norms import NORMS

CONTRASTIVE = (
    "alignment",
    "divergence",
    "concentration",
    "feature-concentration",
    "theorem1",
    "infonce-split",
    "cross-correlation-split",
)
PRETEXT = (
    "ci-condition",
    "downstream-sufficiency",
    "ci-epsilon",
    "predictor-gap",
    "pretext-loss",
)
METRICS = (*CONTRASTIVE, *PRETEXT)

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
    assert answer.stdout.splitlines() == [" ".join(METRICS), ""]


def test_all_is_what_resolves() -> None:
    assert sslaudit_theory.__all__ == sorted(sslaudit_theory._HOME)
    for name, module in sslaudit_theory._HOME.items():
        function = getattr(sslaudit_theory, name)
        assert function is getattr(import_module(f"sslaudit_theory.{module}"), name)
        assert function.__module__.startswith(f"sslaudit_theory.{module}")


def test_no_module_hides_a_function() -> None:
    modules = {module.name for module in pkgutil.iter_modules(sslaudit_theory.__path__)}
    assert not modules & set(sslaudit_theory.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sslaudit_theory' has no attribute 'uniformty'"):
        sslaudit_theory.uniformty  # noqa: B018


def test_the_specs() -> None:
    specs = {spec.name: spec for spec in sslaudit_theory.sslaudit_metrics()}
    assert tuple(specs) == METRICS
    for name, spec in specs.items():
        options = {option.name: option for option in spec.options}
        assert spec.direction == "lower"
        assert spec.data_scoped == (name == "concentration")
        if name in CONTRASTIVE and name != "concentration":
            assert options["norm"].default == "sphere"
            assert options["norm"].choices == NORMS
    contrastive = {name: specs[name].needs for name in CONTRASTIVE}
    spaces = {name: needs.space for name, needs in contrastive.items() if name != "concentration"}
    assert {name for name, space in spaces.items() if space == "trained"} == set(CONTRASTIVE[-2:])
    assert set(spaces.values()) == {"both", "trained"}
    assert not contrastive["alignment"].labels
    optional = {name for name, needs in contrastive.items() if needs.labels == "optional"}
    assert optional == set(CONTRASTIVE[-2:])
    assert set(contrastive["theorem1"].results) == {CONTRASTIVE[0], *CONTRASTIVE[2:4]}
    handed = {option.name for option in specs["theorem1"].options}
    assert handed == {"norm", "images"}, "what it hands on to the metrics that it reads"


def test_metrics_of_pretext_learning_see_one_set_of_targets() -> None:
    specs = {spec.name: spec for spec in sslaudit_theory.sslaudit_metrics()}
    shared = {option.name for option in specs["ci-epsilon"].options}
    assert shared == {"z", "crop", "seen", "describe", "images"}
    for name in PRETEXT:
        needs, options = specs[name].needs, {option.name for option in specs[name].options}
        assert needs.labels == ("optional" if name.startswith("ci-") else True)
        assert specs[name].group == "pretext"
        assert needs.altered == (name != "predictor-gap")
        assert not needs.altered or (options >= shared and specs[name].check is not None)
    assert specs["pretext-loss"].needs.results == ("ci-condition", "predictor-gap")
