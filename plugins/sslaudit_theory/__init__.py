"""The theories of contrastive and of pretext learning, as metrics and as plain functions on arrays.

Functions are imported when they are first used, so ``import sslaudit_theory`` loads no array library.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sslaudit.hookspecs import hookimpl
from sslaudit.specs import MetricSpec

if TYPE_CHECKING:
    from sslaudit_theory.certificates.choice import choose as choose
    from sslaudit_theory.certificates.choice import choose_by_class as choose_by_class
    from sslaudit_theory.certificates.choice import choose_for_class as choose_for_class
    from sslaudit_theory.certificates.conditions import beta as beta
    from sslaudit_theory.certificates.conditions import beta_shares as beta_shares
    from sslaudit_theory.certificates.conditions import certified_mass as certified_mass
    from sslaudit_theory.certificates.conditions import error_bound as error_bound
    from sslaudit_theory.certificates.conditions import good_mass as good_mass
    from sslaudit_theory.certificates.conditions import rho_max as rho_max
    from sslaudit_theory.certificates.conditions import rho_of_class as rho_of_class
    from sslaudit_theory.certificates.conditions import rho_star as rho_star
    from sslaudit_theory.certificates.conditions import theorem1 as theorem1
    from sslaudit_theory.certificates.conditions import theorem1_by_class as theorem1_by_class
    from sslaudit_theory.certificates.conditions import theorem1_sharp as theorem1_sharp
    from sslaudit_theory.certificates.conditions import threshold as threshold
    from sslaudit_theory.certificates.lipschitz import certified_lipschitz as certified_lipschitz
    from sslaudit_theory.certificates.lipschitz import empirical_lipschitz as empirical_lipschitz
    from sslaudit_theory.certificates.lipschitz import jacobian_norm as jacobian_norm
    from sslaudit_theory.certificates.verdicts import Certificate as Certificate
    from sslaudit_theory.certificates.verdicts import Guarantee as Guarantee
    from sslaudit_theory.certificates.verdicts import Shares as Shares
    from sslaudit_theory.certificates.verdicts import guarantee_of_bound as guarantee_of_bound
    from sslaudit_theory.classes.centres import centre_overlap as centre_overlap
    from sslaudit_theory.classes.centres import centre_radius as centre_radius
    from sslaudit_theory.classes.centres import class_centres as class_centres
    from sslaudit_theory.classes.centres import delta_mu as delta_mu
    from sslaudit_theory.classes.centres import delta_of_lengths as delta_of_lengths
    from sslaudit_theory.classes.centres import image_means as image_means
    from sslaudit_theory.classes.centres import nearest_centres as nearest_centres
    from sslaudit_theory.classes.centres import overlap_error as overlap_error
    from sslaudit_theory.classes.centres import overlap_interval as overlap_interval
    from sslaudit_theory.classes.centres import squared_lengths as squared_lengths
    from sslaudit_theory.classes.centres import worst_pair as worst_pair
    from sslaudit_theory.classes.centres import worst_pairs as worst_pairs
    from sslaudit_theory.classes.spread import cantelli_bound as cantelli_bound
    from sslaudit_theory.classes.spread import cantelli_pairs as cantelli_pairs
    from sslaudit_theory.classes.spread import cdnv_bound as cdnv_bound
    from sslaudit_theory.classes.spread import decomposition as decomposition
    from sslaudit_theory.classes.spread import held_back_by as held_back_by
    from sslaudit_theory.independence.condition import C1 as C1
    from sslaudit_theory.independence.condition import c1_test as c1_test
    from sslaudit_theory.independence.condition import reading_of as reading_of
    from sslaudit_theory.independence.condition import verdict_of as verdict_of
    from sslaudit_theory.independence.continuous import Gcm as Gcm
    from sslaudit_theory.independence.continuous import cross_fitted_residuals as cross_fitted_residuals
    from sslaudit_theory.independence.continuous import gcm as gcm
    from sslaudit_theory.independence.continuous import gcm_of_residuals as gcm_of_residuals
    from sslaudit_theory.independence.dependence import Effect as Effect
    from sslaudit_theory.independence.dependence import debiased_cka as debiased_cka
    from sslaudit_theory.independence.dependence import unbiased_hsic as unbiased_hsic
    from sslaudit_theory.independence.dependence import within_class_rv as within_class_rv
    from sslaudit_theory.independence.holm import holm as holm
    from sslaudit_theory.losses.cross_correlation import cross_correlation_loss as cross_correlation_loss
    from sslaudit_theory.losses.cross_correlation import cross_correlation_split as cross_correlation_split
    from sslaudit_theory.losses.cross_correlation import standardise as standardise
    from sslaudit_theory.losses.infonce import infonce_interval as infonce_interval
    from sslaudit_theory.losses.infonce import infonce_split as infonce_split
    from sslaudit_theory.losses.infonce import nt_xent as nt_xent
    from sslaudit_theory.losses.infonce import positive_products as positive_products
    from sslaudit_theory.losses.theorem3 import infonce_floor as infonce_floor
    from sslaudit_theory.losses.theorem3 import theorem3_bound as theorem3_bound
    from sslaudit_theory.losses.theorem3 import theorem3_sharp as theorem3_sharp
    from sslaudit_theory.losses.theorem3 import theorem3_tau as theorem3_tau
    from sslaudit_theory.losses.theorem4 import can_inform as can_inform
    from sslaudit_theory.losses.theorem4 import least_sum as least_sum
    from sslaudit_theory.losses.theorem4 import theorem4_bound as theorem4_bound
    from sslaudit_theory.losses.theorem4 import theorem4_centred as theorem4_centred
    from sslaudit_theory.losses.theorem4 import theorem4_tight as theorem4_tight
    from sslaudit_theory.losses.theorem4 import whitening_limits as whitening_limits
    from sslaudit_theory.losses.theorem4 import within_class_scatter as within_class_scatter
    from sslaudit_theory.norms import normalised as normalised
    from sslaudit_theory.positives.drivers import drivers as drivers
    from sslaudit_theory.positives.pairs import alignment as alignment
    from sslaudit_theory.positives.pairs import alignment_by_views as alignment_by_views
    from sslaudit_theory.positives.pairs import alignment_per_sample as alignment_per_sample
    from sslaudit_theory.positives.pairs import r_eps as r_eps
    from sslaudit_theory.positives.pairs import r_eps_by_views as r_eps_by_views
    from sslaudit_theory.positives.pairs import r_eps_curve as r_eps_curve
    from sslaudit_theory.positives.pairs import sup_alignment as sup_alignment
    from sslaudit_theory.positives.pairs import sup_by_views as sup_by_views
    from sslaudit_theory.positives.pairs import view_distances as view_distances
    from sslaudit_theory.positives.pairs import view_spread as view_spread
    from sslaudit_theory.positives.theorem2 import eta as eta
    from sslaudit_theory.positives.theorem2 import finite_bank_bound as finite_bank_bound
    from sslaudit_theory.positives.theorem2 import sharp_bank_bound as sharp_bank_bound
    from sslaudit_theory.positives.theorem2 import theorem2_bound as theorem2_bound
    from sslaudit_theory.pretext.canonical import canonical_correlations as canonical_correlations
    from sslaudit_theory.pretext.canonical import partial_correlations as partial_correlations
    from sslaudit_theory.pretext.epsilon import eps_ci as eps_ci
    from sslaudit_theory.pretext.epsilon import eps_ci_cross_fitted as eps_ci_cross_fitted
    from sslaudit_theory.pretext.epsilon import eps_ci_plug_in as eps_ci_plug_in
    from sslaudit_theory.pretext.epsilon import partial_covariance as partial_covariance
    from sslaudit_theory.pretext.predictor import PredictorGap as PredictorGap
    from sslaudit_theory.pretext.predictor import predictor_gap as predictor_gap
    from sslaudit_theory.pretext.sufficiency import Sufficiency as Sufficiency
    from sslaudit_theory.pretext.sufficiency import refining as refining
    from sslaudit_theory.sigma.augmented import augmented_distance as augmented_distance
    from sslaudit_theory.sigma.augmented import augmented_distances as augmented_distances
    from sslaudit_theory.sigma.augmented import augmented_winners as augmented_winners
    from sslaudit_theory.sigma.augmented import nearest_other_class as nearest_other_class
    from sslaudit_theory.sigma.augmented import share_within as share_within
    from sslaudit_theory.sigma.cliques import CliqueBounds as CliqueBounds
    from sslaudit_theory.sigma.cliques import colouring_bound as colouring_bound
    from sslaudit_theory.sigma.cliques import greedy_clique as greedy_clique
    from sslaudit_theory.sigma.cliques import lp_bound as lp_bound
    from sslaudit_theory.sigma.cliques import matching_bound as matching_bound
    from sslaudit_theory.sigma.cliques import maximum_clique as maximum_clique
    from sslaudit_theory.sigma.curve import sigma_curve as sigma_curve
    from sslaudit_theory.sigma.curve import sigma_of as sigma_of
    from sslaudit_theory.sigma.curve import worst_class as worst_class
    from sslaudit_theory.sigma.limits import sigma_upper_limit as sigma_upper_limit
    from sslaudit_theory.sigma.limits import star_masses as star_masses
    from sslaudit_theory.sigma.limits import star_sigma as star_sigma
    from sslaudit_theory.sigma.splits import class_distances as class_distances
    from sslaudit_theory.sigma.splits import concentration as concentration

_HOMES = {
    "sigma.augmented": (
        "augmented_distance",
        "augmented_distances",
        "augmented_winners",
        "nearest_other_class",
        "share_within",
    ),
    "classes.centres": (
        "centre_overlap",
        "centre_radius",
        "class_centres",
        "delta_mu",
        "delta_of_lengths",
        "image_means",
        "nearest_centres",
        "overlap_error",
        "overlap_interval",
        "squared_lengths",
        "worst_pair",
        "worst_pairs",
    ),
    "certificates.choice": ("choose", "choose_by_class", "choose_for_class"),
    "sigma.cliques": (
        "CliqueBounds",
        "colouring_bound",
        "greedy_clique",
        "lp_bound",
        "matching_bound",
        "maximum_clique",
    ),
    "certificates.conditions": (
        "beta",
        "beta_shares",
        "certified_mass",
        "error_bound",
        "good_mass",
        "rho_max",
        "rho_of_class",
        "rho_star",
        "theorem1",
        "theorem1_by_class",
        "theorem1_sharp",
        "threshold",
    ),
    "losses.cross_correlation": ("cross_correlation_loss", "cross_correlation_split", "standardise"),
    "losses.infonce": ("infonce_interval", "infonce_split", "nt_xent", "positive_products"),
    "certificates.lipschitz": ("certified_lipschitz", "empirical_lipschitz", "jacobian_norm"),
    "norms": ("normalised",),
    "positives.drivers": ("drivers",),
    "positives.pairs": (
        "alignment",
        "alignment_by_views",
        "alignment_per_sample",
        "r_eps",
        "r_eps_by_views",
        "r_eps_curve",
        "sup_alignment",
        "sup_by_views",
        "view_distances",
        "view_spread",
    ),
    "sigma.curve": ("sigma_curve", "sigma_of", "worst_class"),
    "sigma.limits": ("sigma_upper_limit", "star_masses", "star_sigma"),
    "sigma.splits": ("class_distances", "concentration"),
    "classes.spread": ("cantelli_bound", "cantelli_pairs", "cdnv_bound", "decomposition", "held_back_by"),
    "positives.theorem2": ("eta", "finite_bank_bound", "sharp_bank_bound", "theorem2_bound"),
    "losses.theorem3": ("infonce_floor", "theorem3_bound", "theorem3_sharp", "theorem3_tau"),
    "losses.theorem4": (
        "can_inform",
        "least_sum",
        "theorem4_bound",
        "theorem4_centred",
        "theorem4_tight",
        "whitening_limits",
        "within_class_scatter",
    ),
    "independence.condition": (
        "C1",
        "c1_test",
        "reading_of",
        "verdict_of",
    ),
    "independence.continuous": (
        "Gcm",
        "cross_fitted_residuals",
        "gcm",
    ),
    "independence.dependence": (
        "Effect",
        "debiased_cka",
        "unbiased_hsic",
        "within_class_rv",
    ),
    "independence.holm": ("holm",),
    "pretext.canonical": (
        "canonical_correlations",
        "partial_correlations",
    ),
    "pretext.epsilon": (
        "eps_ci",
        "eps_ci_cross_fitted",
        "eps_ci_plug_in",
        "partial_covariance",
    ),
    "pretext.predictor": (
        "PredictorGap",
        "predictor_gap",
    ),
    "pretext.sufficiency": (
        "Sufficiency",
        "refining",
    ),
    "certificates.verdicts": ("Certificate", "Guarantee", "Shares", "guarantee_of_bound"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


@hookimpl
def sslaudit_metrics() -> Iterable[MetricSpec]:
    """The three factors, Theorem 1, the losses with their parts, and the conditions of pretext learning."""
    from sslaudit_theory.metrics import METRICS

    return METRICS


# Without a __dir__ that adds these names: the host reads every name of a plugin, and would load them all.
def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sslaudit_theory' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(f"sslaudit_theory.{_HOME[name]}"), name)
    return value
