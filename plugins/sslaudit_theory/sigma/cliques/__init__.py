"""Maximum cliques of graphs of samples, as intervals that always hold."""

from sslaudit_theory.sigma.cliques.bounds import colouring_bound as colouring_bound
from sslaudit_theory.sigma.cliques.bounds import greedy_clique as greedy_clique
from sslaudit_theory.sigma.cliques.bounds import lp_bound as lp_bound
from sslaudit_theory.sigma.cliques.bounds import matching_bound as matching_bound
from sslaudit_theory.sigma.cliques.maximum import BUDGET as BUDGET
from sslaudit_theory.sigma.cliques.maximum import CliqueBounds as CliqueBounds
from sslaudit_theory.sigma.cliques.maximum import maximum_clique as maximum_clique
