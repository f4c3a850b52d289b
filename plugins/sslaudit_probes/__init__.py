"""How good an embedding is for telling classes apart, as metrics and as plain functions on arrays.

Functions are imported when they are first used, so ``import sslaudit_probes`` loads no array library.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sslaudit.hookspecs import hookimpl
from sslaudit.specs import MetricSpec

if TYPE_CHECKING:
    from sslaudit_probes.between.similarity import debiased_linear_cka as debiased_linear_cka
    from sslaudit_probes.between.similarity import linear_cka as linear_cka
    from sslaudit_probes.between.similarity import mutual_knn as mutual_knn
    from sslaudit_probes.change.attack import margins as margins
    from sslaudit_probes.change.attack import pgd as pgd
    from sslaudit_probes.change.attack import random_starts as random_starts
    from sslaudit_probes.change.corruptions import corruption as corruption
    from sslaudit_probes.change.invariance import random_cosine as random_cosine
    from sslaudit_probes.change.invariance import relative_invariance as relative_invariance
    from sslaudit_probes.change.transforms import transform as transform
    from sslaudit_probes.classes.collapse import disagreements as disagreements
    from sslaudit_probes.classes.collapse import neural_collapse as neural_collapse
    from sslaudit_probes.classes.collapse import self_duality as self_duality
    from sslaudit_probes.classes.h_score import h_score as h_score
    from sslaudit_probes.classes.leep import leep as leep
    from sslaudit_probes.classes.leep import mixture as mixture
    from sslaudit_probes.classes.leep import nce as nce
    from sslaudit_probes.classes.logme import log_evidence as log_evidence
    from sslaudit_probes.classes.logme import logme as logme
    from sslaudit_probes.classes.silhouette import silhouette as silhouette
    from sslaudit_probes.classifiers.accuracy import first_best as first_best
    from sslaudit_probes.classifiers.calibration import brier_scores as brier_scores
    from sslaudit_probes.classifiers.calibration import calibration_error as calibration_error
    from sslaudit_probes.classifiers.calibration import fit_temperature as fit_temperature
    from sslaudit_probes.classifiers.calibration import negative_log_likelihood as negative_log_likelihood
    from sslaudit_probes.classifiers.few_shot import draw_share as draw_share
    from sslaudit_probes.classifiers.few_shot import draw_support as draw_support
    from sslaudit_probes.classifiers.few_shot import one_nn as one_nn
    from sslaudit_probes.classifiers.knn import knn_log_votes as knn_log_votes
    from sslaudit_probes.classifiers.knn import knn_votes as knn_votes
    from sslaudit_probes.classifiers.knn import top_hits as top_hits
    from sslaudit_probes.classifiers.logistic import Probe as Probe
    from sslaudit_probes.classifiers.logistic import fit_logistic as fit_logistic
    from sslaudit_probes.classifiers.nearest_centre import classify_by_centre as classify_by_centre
    from sslaudit_probes.classifiers.penalty import search_penalty as search_penalty
    from sslaudit_probes.shape.intrinsic_dimension import hubness as hubness
    from sslaudit_probes.shape.intrinsic_dimension import levina_bickel as levina_bickel
    from sslaudit_probes.shape.intrinsic_dimension import mle_dimension as mle_dimension
    from sslaudit_probes.shape.intrinsic_dimension import two_nn as two_nn
    from sslaudit_probes.shape.intrinsic_dimension import two_nn_interval as two_nn_interval
    from sslaudit_probes.shape.lidar import lda_eigenvalues as lda_eigenvalues
    from sslaudit_probes.shape.lidar import lidar as lidar
    from sslaudit_probes.shape.plane import Plane as Plane
    from sslaudit_probes.shape.plane import centre_plane as centre_plane
    from sslaudit_probes.shape.plane import closest_centres as closest_centres
    from sslaudit_probes.shape.plane import principal_directions as principal_directions
    from sslaudit_probes.shape.plane import principal_plane as principal_plane
    from sslaudit_probes.shape.power_law import power_law as power_law
    from sslaudit_probes.shape.ranks import dimensions_for as dimensions_for
    from sslaudit_probes.shape.ranks import effective_rank as effective_rank
    from sslaudit_probes.shape.ranks import nesum as nesum
    from sslaudit_probes.shape.ranks import participation_ratio as participation_ratio
    from sslaudit_probes.shape.ranks import rankme as rankme
    from sslaudit_probes.shape.ranks import stable_rank as stable_rank
    from sslaudit_probes.shape.self_cluster import self_cluster as self_cluster
    from sslaudit_probes.shape.self_cluster import vendi as vendi
    from sslaudit_probes.shape.singular_values import singular_values as singular_values
    from sslaudit_probes.shape.uniformity import lowest_uniformity as lowest_uniformity
    from sslaudit_probes.shape.uniformity import uniformity as uniformity
    from sslaudit_probes.shape.uniformity import uniformity_optimum as uniformity_optimum

_HOMES = {
    "between.similarity": ("debiased_linear_cka", "linear_cka", "mutual_knn"),
    "change.attack": ("margins", "pgd", "random_starts"),
    "change.corruptions": ("corruption",),
    "change.invariance": ("random_cosine", "relative_invariance"),
    "change.transforms": ("transform",),
    "classes.collapse": ("disagreements", "neural_collapse", "self_duality"),
    "classes.h_score": ("h_score",),
    "classes.leep": ("leep", "mixture", "nce"),
    "classes.logme": ("log_evidence", "logme"),
    "classes.silhouette": ("silhouette",),
    "classifiers.accuracy": ("first_best",),
    "classifiers.calibration": (
        "brier_scores",
        "calibration_error",
        "fit_temperature",
        "negative_log_likelihood",
    ),
    "classifiers.few_shot": ("draw_share", "draw_support", "one_nn"),
    "classifiers.knn": ("knn_log_votes", "knn_votes", "top_hits"),
    "classifiers.logistic": ("Probe", "fit_logistic"),
    "classifiers.nearest_centre": ("classify_by_centre",),
    "classifiers.penalty": ("search_penalty",),
    "shape.intrinsic_dimension": ("hubness", "levina_bickel", "mle_dimension", "two_nn", "two_nn_interval"),
    "shape.lidar": ("lda_eigenvalues", "lidar"),
    "shape.plane": (
        "Plane",
        "centre_plane",
        "closest_centres",
        "principal_directions",
        "principal_plane",
    ),
    "shape.power_law": ("power_law",),
    "shape.ranks": (
        "dimensions_for",
        "effective_rank",
        "nesum",
        "participation_ratio",
        "rankme",
        "stable_rank",
    ),
    "shape.self_cluster": ("self_cluster", "vendi"),
    "shape.singular_values": ("singular_values",),
    "shape.uniformity": ("lowest_uniformity", "uniformity", "uniformity_optimum"),
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
