"""What the program sets for its own process."""

import os
import subprocess
import sys

import pytest

from sslaudit.cli.process import SPINS

PAGES_ANEW = """
import resource
import sys

if sys.argv[1] == "settled":
    from sslaudit.cli.process import settle
    settle()
import numpy as np

def batch():
    blocks = [np.ones(2**21) for _ in range(8)]

for _ in range(3):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    batch()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)
"""


def pages(how: str, **environment: str) -> int:
    """New pages for each batch of eight arrays of 16 MiB that are freed together."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    kept["NUMPY_MADVISE_HUGEPAGE"] = "0"  # pages of 4 KiB are counted
    command = [sys.executable, "-c", PAGES_ANEW, how]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_memory_of_a_batch_is_used_again_by_the_next() -> None:
    """And what a user has set stays: here, that nothing is kept."""
    plain, settled = pages("plain"), pages("settled")
    assert plain > 8 * 2**24 / 4096 / 2  # most of it
    assert settled < plain / 20
    assert pages("settled", MALLOC_TRIM_THRESHOLD_="131072") > plain / 2


@pytest.mark.parametrize(
    ("asked", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
)
def test_threads_wait_awake_as_long_as_the_user_says(asked: dict[str, str], spins: str) -> None:
    """torch reads this when it is loaded, so it is set before."""
    code = (
        "import os, sys; from sslaudit.cli.process import settle; settle(); "
        "print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | asked, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [spins, "False"]
