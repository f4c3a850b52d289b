"""Where the time of an extraction goes: each stage alone, on the images of the comparison before it."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import ours
from benchmarks.networks import Network
from benchmarks.plan import Plan
from benchmarks.race import fastest
from sslaudit.extraction import Precision
from sslaudit.store import Parts
from sslaudit.views import draw, identity_view, make_views


def measure(plan: Plan, network: Network, images: int, views: int, precision: Precision) -> Iterator[str]:
    """One line: milliseconds of each stage for an image with all its views."""
    data = plan.album.first(images).data
    how, preprocess = ours.settings(network, views=views, precision=precision), network.preprocess
    pixels = [data.read(i) for i in range(images)]
    drawn = draw(0, data.digests, views)[:, 1:]

    def write() -> None:
        with tempfile.TemporaryDirectory() as folder:
            Parts(Path(folder), images).write(0, np.zeros((images, views, network.module.num_features), "f4"))

    work: dict[str, Callable[[], object]] = {
        "decode": lambda: [data.read(i) for i in range(images)],
        "first view": lambda: [identity_view(image, preprocess) for image in pixels],
        f"{views - 1} drawn views": partial(
            make_views, pixels, drawn, how.recipe, preprocess, identity=False, device=network.device
        ),
        f"encoder, {precision}": partial(
            ours.encoder_alone(network, views=views, precision=precision), images, 0
        ),
        "write": write,
    }
    costs = ", ".join(f"{name} {1e3 * fastest(call) / images:.3g}" for name, call in work.items())
    yield f"  ms an image, each stage alone: {costs}"
