"""How good an embedding is for telling classes apart, as metrics and as plain functions on arrays.

Functions are imported when they are first used, so ``import sslaudit_probes`` loads no array library.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sslaudit.hookspecs import hookimpl
from sslaudit.specs import MetricSpec

if TYPE_CHECKING:
    from sslaudit_probes.classifiers.accuracy import first_best as first_best
    from sslaudit_probes.classifiers.few_shot import draw_support as draw_support
    from sslaudit_probes.classifiers.few_shot import one_nn as one_nn
    from sslaudit_probes.classifiers.knn import knn_log_votes as knn_log_votes
    from sslaudit_probes.classifiers.knn import knn_votes as knn_votes
    from sslaudit_probes.classifiers.knn import top_hits as top_hits
    from sslaudit_probes.classifiers.nearest_centre import classify_by_centre as classify_by_centre

_HOMES = {
    "classifiers.accuracy": ("first_best",),
    "classifiers.few_shot": ("draw_support", "one_nn"),
    "classifiers.knn": ("knn_log_votes", "knn_votes", "top_hits"),
    "classifiers.nearest_centre": ("classify_by_centre",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


@hookimpl
def sslaudit_metrics() -> Iterable[MetricSpec]:
    """Every metric of ``sslaudit_probes.metrics``."""
    from sslaudit_probes.metrics import METRICS

    return METRICS


# Without a __dir__ that adds these names: the host reads every name of a plugin, and would load them all.
def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sslaudit_probes' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(f"sslaudit_probes.{_HOME[name]}"), name)
    return value
