"""One view, no augmentation: from files to features, against the encoder alone and the peers."""

from collections.abc import Iterator

from benchmarks import ours, peers
from benchmarks.networks import Mode, Network, best_mode, usual_mode
from benchmarks.peers import WORKERS
from benchmarks.plan import Plan
from benchmarks.race import Contender, race
from benchmarks.table import Entry

OF_ENCODER, OF_PEER = 0.6, 1.4
"""Targets: of the rate of the encoder alone, and of the best peer at its best."""


def measure(plan: Plan) -> Iterator[Entry]:
    """Rows of all networks."""
    yield "One view, from JPEG files to features"
    for name in peers.missing():
        yield f"  {name} is not installed here, so not measured"
    for build in plan.networks:
        yield from _network(plan, build())


def _network(plan: Plan, network: Network) -> Iterator[Entry]:
    precision = ours.best_precision(network)
    modes = (usual_mode(), best_mode(network, ours.settings(network, views=1).batch_size))
    floor = Contender(name="encoder alone, fp32", run=ours.encoder_alone(network))
    images = plan.images(race([floor], plan.least_images, 1)[0].rate, 1)
    own = [
        Contender(name="opening the folder", run=ours.opening(plan.album)),
        Contender(name="sslaudit, all in all", run=ours.all_in_all(network, plan.album, precision=precision)),
        Contender(name="sslaudit", run=ours.extraction(network, plan.album)),
        floor,
    ]
    if precision != "fp32":
        run = ours.extraction(network, plan.album, precision=precision)
        alone = ours.encoder_alone(network, precision=precision)
        own += [
            Contender(name="sslaudit", run=run),
            Contender(name=f"encoder alone, {precision}", run=alone),
        ]
    theirs = [_peers(plan, network, mode) for mode in modes]
    results = iter(race([*own, *theirs[0], *theirs[1]], images, plan.rounds))
    opening, whole, plain, alone_plain = (next(results) for _ in range(4))
    fast, alone_fast = (plain, alone_plain) if precision == "fp32" else (next(results), next(results))
    usual, best = [next(results) for _ in theirs[0]], list(results)
    first = max(best, key=lambda result: result.rate)
    what = f"{network.name}, V=1"
    yield plain.row(f"{what}, fp32", alone_plain, "images/s", OF_ENCODER)
    yield from (plain.row(f"{what}, fp32", other, "images/s") for other in usual)
    if fast is not plain:
        yield fast.row(f"{what}, {precision}", alone_fast, "images/s", OF_ENCODER)
    for other in best:
        yield fast.row(f"{what}, best ({precision})", other, "images/s", OF_PEER if other is first else None)
    yield whole.row(f"{what}, all in all", first, "images/s")
    yield f"  opening the folder (each file read, checked and hashed): {opening.rate:,.4g} images/s"
    yield f"  {ours.automatic_precision(network, plan.album)}"


def _peers(plan: Plan, network: Network, mode: Mode) -> list[Contender]:
    return [
        Contender(name=f"{name}, {mode.name}", run=peer(network, plan.album, mode), workers=WORKERS)
        for name, peer in peers.installed()
    ]
