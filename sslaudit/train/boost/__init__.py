"""Boosting pretext learning with downstream labels: f on top of frozen features, by the loss L(f; P).

``refine`` is what the training method and the metrics call. Below it: ``linear`` has the closed form for
linear f from moments, ``finite`` the minimiser for n0 downstream samples, ``network`` the gradient
descent for networks, and ``world`` Gaussian worlds in which all errors are known.

Source: Teng et al., AISTATS 2022. The paper's lower bound on n0 that depends on the model is not
implemented: its statement is not at hand.
"""

from sslaudit.train.boost.refinement import Refined, Refinement, refine

__all__ = ["Refined", "Refinement", "refine"]
