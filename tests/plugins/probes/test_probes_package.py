"""What the package offers, and what listing it loads."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

import sslaudit_probes

GROUPS = {
    "linear-probe": "quality",
    "knn": "quality",
    "nearest-centre": "quality",
    "few-shot": "quality",
    "calibration": "classes",
    "spectrum": "shape",
    "uniformity": "shape",
    "lidar": "shape",
    "intrinsic-dimension": "shape",
    "self-cluster": "shape",
    "embedding-map": "shape",
    "neural-collapse": "classes",
    "silhouette": "classes",
    "transferability": "classes",
    "invariance": "change",
    "robustness": "change",
}
OPT_IN = {"transferability", "robustness"}

LISTING = """
import sys
import pluggy
import sslaudit.hookspecs
import sslaudit_probes
manager = pluggy.PluginManager(sslaudit.hookspecs.GROUP)
manager.add_hookspecs(sslaudit.hookspecs)
manager.register(sslaudit_probes)
((*specs,),) = manager.hook.sslaudit_metrics()
print(*(spec.name for spec in specs))
print(*sorted({"numpy", "torch", "scipy", "sklearn"} & set(sys.modules)))
"""


def test_listing_loads_no_array_library() -> None:
    answer = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == [" ".join(GROUPS), ""]


def test_all_is_what_resolves() -> None:
    assert sslaudit_probes.__all__ == sorted(sslaudit_probes._HOME)
    for name, module in sslaudit_probes._HOME.items():
        function = getattr(sslaudit_probes, name)
        assert function is getattr(import_module(f"sslaudit_probes.{module}"), name)
        assert function.__module__ == f"sslaudit_probes.{module}"


def test_no_module_hides_a_function() -> None:
    modules = {module.name for module in pkgutil.iter_modules(sslaudit_probes.__path__)}
    assert not modules & set(sslaudit_probes.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sslaudit_probes' has no attribute 'linear'"):
        sslaudit_probes.linear  # noqa: B018


def test_the_specs() -> None:
    specs = {spec.name: spec for spec in sslaudit_probes.sslaudit_metrics()}
    assert {name: spec.group for name, spec in specs.items()} == GROUPS
    for spec in specs.values():
        if spec.group == "quality":
            assert (spec.direction, spec.unit, spec.range) == ("higher", "fraction", (0, 1))
            assert spec.needs.labels
            assert spec.needs.min_per_class == 1
    assert specs["nearest-centre"].needs.views == 1
    assert {o.name: o.default for o in specs["knn"].options} == {"k": 20, "T": 0.07}
    assert {name for name, spec in specs.items() if not spec.default} == OPT_IN


def test_first_best_takes_the_first_of_equals() -> None:
    scores = np.array([[1.0, 2.0, 2.0], [3.0, 3.0 + 1e-12, 0.0], [-np.inf, 0.0, 1e-6]])
    np.testing.assert_array_equal(sslaudit_probes.first_best(scores), [1, 0, 2])
