"""What a run says of its speed, and the one precision of a run. Nothing here goes by the clock."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sslaudit import Preprocess
from sslaudit.audit import Line
from sslaudit.encoder import Encoder, from_module
from sslaudit.extraction import Embedder, Extraction, precision, speed
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe
from sslaudit.registry import Registry
from sslaudit.settings import Settings

RECIPE = parse_recipe("simclr", {spec.name: spec for spec in BUILTIN_RECIPES})
HOW = Extraction(recipe=RECIPE, views=3, seed=0, batch_size=8)
PREPROCESS = Preprocess(size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3)
PAIRS = torch.randint(256, (6, 2, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
FIRST = "as the first encoder of this run"


class Rows(nn.Module):
    """Pixels times a matrix; a large ``shift`` hides what differs between images in a lower precision."""

    def __init__(self, seed: int, shift: float) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.fc = nn.Linear(192, 16)
        nn.init.constant_(self.fc.bias, shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


def encoder(seed: int = 0, shift: float = 0.0) -> Encoder:
    return from_module(Rows(seed, shift), preprocess=PREPROCESS)


PASSES = """
import resource, torch
from torch import nn
from sslaudit import Preprocess
from sslaudit.encoder import from_module
from sslaudit.extraction import Embedder, Extraction
from sslaudit.extraction.speed import images_per_second
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe

recipe = parse_recipe("simclr", {spec.name: spec for spec in BUILTIN_RECIPES})
network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
encoder = from_module(network, preprocess=Preprocess(size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3))
embedder = Embedder(encoder, Extraction(recipe=recipe, views=1, seed=0, batch_size=256))
images = torch.zeros(256, 3, 8, 8, dtype=torch.uint8)
images_per_second(embedder, images, 256)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    embedder(images)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_the_first_encoder_of_a_process_has_its_memory_like_the_second() -> None:
    """Else each pass takes its pages anew, and the first encoder of a run looks slow."""
    done = subprocess.run([sys.executable, "-c", PASSES], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50


@pytest.mark.parametrize(("most", "rows"), [(100, 8), (5, 5), (1, 1)])
def test_the_rate_is_that_of_the_median_pass_of_a_batch(
    monkeypatch: pytest.MonkeyPatch, most: int, rows: int
) -> None:
    sizes: list[tuple[int, ...]] = []
    seconds = itertools.chain([9.0], itertools.cycle([1.0, 2.0, 4.0]))  # the first one warms up

    def timed(call: Callable[[], Tensor]) -> float:
        sizes.append(tuple(call().shape))
        return next(seconds)

    monkeypatch.setattr(speed, "seconds_of", timed)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: 0.0)
    found = speed.images_per_second(Embedder(encoder(), HOW), PAIRS[:3, 0], most)
    assert found == pytest.approx(rows / 2)
    assert set(sizes) == {(rows, 16)}
    assert len(sizes) == 26


def test_one_slow_pass_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 100.0)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    assert speed.images_per_second(Embedder(encoder(), HOW), PAIRS[:, 0], 100) == pytest.approx(8 / 100)
    assert speed.images_per_second(Embedder(encoder(), HOW), PAIRS[:0, 0], 100) is None


def test_cached_features_have_a_speed_too(stub_registry: Registry, tmp_path: Path) -> None:
    settings = Settings(metrics="alignment", views=2, anchors=False, max_images=40, cache=tmp_path)
    for cached in (0, 80):
        line = Line(stub_registry, settings)
        program = replace(line.load("stub:x"), module=None, embed=lambda x: x.mean(dim=(2, 3)), dim=3)
        made = line.run(program, line.open("digits")).provenance
        assert made.cached_views == cached
        assert made.images_per_second is not None
        assert made.images_per_second > 0


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the passes take on a machine with bfloat16; another one is a failure."""
    left: list[float] = []
    monkeypatch.setattr(precision, "lower_precision", lambda device: "bf16")
    monkeypatch.setattr(precision, "_seconds", lambda call: left.pop(0))
    return left


def test_a_run_settles_on_one_precision(times: list[float], stub_registry: Registry, tmp_path: Path) -> None:
    """By the clock for the first encoder alone; each other one only where it deviates little enough."""
    settings = Settings(metrics="alignment", views=2, anchors=False, max_images=40, cache=tmp_path)

    def run(*encoders: Encoder) -> list[tuple[str, str]]:
        line = Line(stub_registry, settings)
        data = line.open("digits")
        made = [line.run(one, data).provenance for one in encoders]
        assert not times
        return [(one.precision, one.precision_reason) for one in made]

    times[:] = [1.0, 2.0]
    fast, kept, spoilt = run(encoder(), encoder(1), encoder(2, shift=100.0))
    assert fast[0] == kept[0] == "bf16"
    assert kept[1].startswith(f"{FIRST}; bf16 deviates from float32 by up to ")
    assert spoilt[0] == "fp32"
    assert spoilt[1].endswith("so not bf16, the first encoder's of this run")
    assert run(encoder(), encoder(1)) == [fast, kept], "a later run finds both in the cache"

    times[:] = [2.0, 2.0]
    slow, other = run(encoder(3), encoder())
    assert slow == ("fp32", "bf16 is not clearly faster here")
    assert other == ("fp32", FIRST), "whatever it chose when it came first"
