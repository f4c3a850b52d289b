"""What training is for: every method lifts its encoder above the untrained copy, on digits, in a minute."""

import time
from pathlib import Path

import pytest

import sslaudit
from sslaudit import ReportCard, load_dataset
from sslaudit.comparison import paired_difference
from sslaudit.data import Dataset
from sslaudit.registry import installed
from sslaudit.report.words import headline
from sslaudit.train.choices import Choices
from sslaudit.train.loop import train

RECIPE = "crop(scale=0.6)+color"
"""Digits are chiral, so no flip; they are read by their whole shape, so no small crop."""
METHODS: dict[str, dict[str, object]] = {
    "simclr": {},
    "barlow-twins": {},
    "byol": {"momentum": 0.99},  # 600 steps are too few to follow at the published pace
    "moco": {"momentum": 0.99, "queue": 512},  # below the number of images
    "simsiam": {},
    "vicreg": {},
}
SEEDS = (0, 1, 2)
METRIC = "nearest-centre"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def trained(
    data: Dataset, output: Path, method: str, seed: int, options: dict[str, object], epochs: int = 60
) -> tuple[float, list[str]]:
    """The seconds it took, and what was said."""
    registry, said, clock = installed(), [], time.perf_counter()
    train(
        registry.methods.get(method),
        data,
        output=output,
        named=registry.recipes.usable(),
        choices=Choices(size=8, recipe=RECIPE, epochs=epochs, batch_size=128, lr=3e-3, seed=seed),
        options=options,
        on_message=said.append,
    )
    return time.perf_counter() - clock, said


def card_of(ref: str, data: Dataset) -> ReportCard:
    return sslaudit.evaluate(
        ref, data, metrics=METRIC, views=1, anchors=False, device="cpu", precision="fp32"
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_it_lifts_nearest_centre_accuracy(digits: Dataset, tmp_path: Path, method: str) -> None:
    """By more than both intervals, and in the pairs of images too, over three seeds.

    The table that this prints (pytest -s) stands in the documentation.
    """
    rows = []
    for seed in SEEDS:
        file = tmp_path / f"{seed}.pt"
        seconds, said = trained(digits, file, method, seed, METHODS[method])
        assert not [text for text in said if "collapse" in text.lower()]
        after, before = card_of(str(file), digits), card_of(f"untrained,seed={seed}:{file}", digits)
        value, control = after.metric(METRIC), before.metric(METRIC)
        _, paired = paired_difference(after, before, METRIC)
        assert paired.low > 0
        assert value.interval.low > control.interval.high
        rows.append((value.value, control.value, seconds))
    value, control, seconds = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    print(f"\n{method}: {value:.3f} trained, {control:.3f} untrained, {seconds:.0f} s")


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_without_its_stop_gradient_simsiam_is_called_collapsed(
    digits: Dataset, tmp_path: Path, seed: int
) -> None:
    """By the trainer while it runs, and by the card."""
    _, said = trained(digits, tmp_path / "x.pt", "simsiam", seed, {"stop-gradient": False}, epochs=30)
    assert any("COLLAPSED" in text for text in said)
    card = card_of(str(tmp_path / "x.pt"), digits)
    assert [check.name for check in card.failed_checks] == ["projections"]
    assert "COLLAPSED" in dict(headline(card))
