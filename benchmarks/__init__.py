"""What views and extraction cost, as ratios against peers and floors measured in the same run.

``python -m benchmarks`` prints one table. Each row compares rates of sslaudit and of one other way to
do the same work on the same files with the same weights. Contenders of one comparison take turns;
rates are medians over the rounds, and a ratio is the median of the ratios within a round, so that a
load that comes and goes touches both sides. Compare ratios, never rates of different runs.
"""

import os

from sslaudit.cli.process import SPINS

# Both are read when libraries are loaded. Threads of OpenMP that spin for milliseconds while they wait
# make everything up to ten times slower as soon as anything else runs: what the command line sets is set
# for everybody. Bars of peers would cut through the table.
os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
os.environ.setdefault("TQDM_DISABLE", "1")
