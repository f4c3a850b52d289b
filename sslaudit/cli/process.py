"""How the process of the program treats the machine. A program that imports sslaudit is left as it is."""

import ctypes
import os
import sys

SPINS = "5000"
"""Turns that a thread of torch waits awake for the next piece of work: a tenth of a millisecond or so."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""glibc's numbers of these options of its ``mallopt``."""

_KEPT, _LARGE = 2**29, 2**25
"""Bytes: free memory that is kept at most, and blocks that always go back. The second is glibc's maximum."""


def settle() -> None:
    """Threads that wait and memory that is freed, so that a run is quick; what a user has set stays.

    Threads of torch that wait would spin for milliseconds, and take the cores from decoding and from
    others. A short spin costs nothing there; a spin of a fifth of this makes training of a small network
    about a tenth slower, and to sleep at once makes views half as dear again.

    glibc gives memory back to the system after each batch and asks for every page of the next one anew:
    a tenth of the time of a ResNet-18 in float32. Up to 512 MiB are kept instead; a run holds about 150
    MB more for it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    own = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if sys.platform == "linux" and not own:
        glibc = ctypes.CDLL(None)
        if hasattr(glibc, "mallopt"):
            glibc.mallopt(_TRIM_THRESHOLD, _KEPT)
            glibc.mallopt(_MMAP_THRESHOLD, _LARGE)
