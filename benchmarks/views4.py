"""Four views by SimCLR's recipe: from files to features, against the usual pipeline and the encoder alone.

Both make the same views: the first without augmentation, three drawn. The second half says where the
time of sslaudit goes.
"""

from collections.abc import Iterator

from benchmarks import ours, peers, stages
from benchmarks.networks import Network, best_mode, usual_mode
from benchmarks.plan import Plan
from benchmarks.race import Contender, race
from benchmarks.table import Entry

VIEWS = 4
OF_ENCODER, OF_USUAL, OF_BEST = 0.45, 5.0, 2.3
"""Targets: of the rate of the encoder alone, of the usual pipeline, and of that at its best."""


def measure(plan: Plan) -> Iterator[Entry]:
    """Rows of all networks."""
    yield "Four views, SimCLR's recipe, from JPEG files to features"
    for build in plan.networks:
        yield from _network(plan, build())


def _network(plan: Plan, network: Network) -> Iterator[Entry]:
    precision = ours.best_precision(network)
    batch_size = ours.settings(network, views=VIEWS).batch_size
    modes = (usual_mode(), best_mode(network, batch_size))
    floor = Contender(
        name=f"encoder alone, {precision}",
        run=ours.encoder_alone(network, views=VIEWS, precision=precision),
    )
    images = plan.images(race([floor], plan.least_images, 1, views=VIEWS)[0].rate, VIEWS)
    contenders = [
        Contender(
            name="sslaudit", run=ours.extraction(network, plan.album, views=VIEWS, precision=precision)
        ),
        floor,
        *(
            Contender(
                name=f"usual pipeline, {mode.name}",
                run=peers.usual(network, plan.album, mode, views=VIEWS),
                workers=peers.WORKERS,
            )
            for mode in modes
        ),
    ]
    own, *others = race(contenders, images, plan.rounds, views=VIEWS)
    for other, target in zip(others, (OF_ENCODER, OF_USUAL, OF_BEST), strict=True):
        yield own.row(f"{network.name}, V={VIEWS}, best ({precision})", other, "views/s", target)
    yield from stages.measure(plan, network, images, VIEWS, precision)
