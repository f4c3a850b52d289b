"""Extraction on a CUDA device: decode, views and encoder at once."""

import threading
from collections.abc import Iterator

import torch

from benchmarks import ours
from benchmarks.networks import build
from benchmarks.plan import Plan
from benchmarks.race import Contender, race
from benchmarks.table import Entry
from benchmarks.views4 import OF_ENCODER, VIEWS


def measure(plan: Plan) -> Iterator[Entry]:
    """A row against the encoder alone, and the utilisation; one line without a device."""
    if not torch.cuda.is_available():
        yield "CUDA: no device here, not measured"
        return
    yield f"CUDA: {torch.cuda.get_device_name()}"
    network = build("resnet50", "ResNet-50", size=224, device="cuda")
    precision = ours.best_precision(network)
    extraction = ours.extraction(network, plan.album, views=VIEWS, precision=precision)
    floor = ours.encoder_alone(network, views=VIEWS, precision=precision)
    own, alone = race(
        [
            Contender(name="sslaudit", run=extraction),
            Contender(name=f"encoder alone, {precision}", run=floor),
        ],
        plan.most_images,
        plan.rounds,
        views=VIEWS,
    )
    yield own.row(f"{network.name}, V={VIEWS}, {precision}, CUDA", alone, "views/s", OF_ENCODER)
    with _Utilisation() as utilisation:
        extraction(plan.most_images, 0)
    yield f"  {utilisation.sentence()}"


class _Utilisation:
    """Samples how busy the device is while a block runs."""

    def __enter__(self) -> "_Utilisation":
        self._samples: list[int] = []
        self._missing = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            try:
                self._samples.append(torch.cuda.utilization())
            except (ImportError, RuntimeError) as error:  # no pynvml, or no right to ask
                self._missing = str(error) or type(error).__name__
                return

    def sentence(self) -> str:
        """The mean utilisation, or why there is none."""
        if self._missing or not self._samples:
            return f"GPU utilisation left out: {self._missing or 'the run was too short to sample'}"
        return (
            f"GPU utilisation {sum(self._samples) / len(self._samples):.0f} %, mean of {len(self._samples)}"
        )
