"""``--precision auto``: by measurement, once, and never on a network that it would spoil."""

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sslaudit import Preprocess
from sslaudit.data import Dataset
from sslaudit.encoder import Encoder, from_module
from sslaudit.extraction import Extraction, choose_precision, precision
from sslaudit.loading import load_dataset
from sslaudit.recipes import BUILTIN_RECIPES, parse_recipe

RECIPE = parse_recipe("simclr", {spec.name: spec for spec in BUILTIN_RECIPES})
HOW = Extraction(recipe=RECIPE, views=3, seed=0, batch_size=8)
PREPROCESS = Preprocess(size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3)
PAIRS = torch.randint(256, (6, 2, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Rows(nn.Module):
    """Pixels times a matrix; ``shift`` hides what differs between images behind a large constant."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.fc = nn.Linear(192, 16)
        nn.init.constant_(self.fc.bias, shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


def encoder(shift: float = 0.0) -> Encoder:
    torch.manual_seed(0)
    return from_module(Rows(shift), preprocess=PREPROCESS)


@pytest.fixture
def fast_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that computes in bfloat16 twice as fast."""
    clock = itertools.cycle([1.0, 2.0])
    monkeypatch.setattr(precision, "lower_precision", lambda device: "bf16")
    monkeypatch.setattr(precision, "_seconds", lambda call: next(clock))


@pytest.mark.usefixtures("fast_bf16")
def test_bf16_is_taken_where_it_is_close_enough() -> None:
    """The numbers are those of a float64 computation of the rule."""
    chosen = choose_precision(encoder(), PAIRS, HOW, "bf16")
    assert chosen.precision == "bf16"
    fc = encoder().module.fc
    flat = (PAIRS.double() / 255).flatten(0, 1).flatten(1)
    rows = flat @ fc.weight.detach().double().T + fc.bias.detach().double()
    unit = nn.functional.normalize(rows, dim=1).view(6, 2, -1)
    allowed = 0.01 * float((unit[:, 0] - unit[:, 1]).norm(dim=1).median())
    assert f"allowed is {allowed:.1e}" in chosen.reason


@pytest.mark.usefixtures("fast_bf16")
def test_bf16_is_refused_where_it_drowns_what_differs() -> None:
    chosen = choose_precision(encoder(shift=100.0), PAIRS, HOW, "bf16")
    assert chosen.precision == "fp32"
    assert "bf16 deviates from float32 by up to" in chosen.reason


@pytest.mark.usefixtures("fast_bf16")
def test_features_that_are_not_finite_stay_in_float32() -> None:
    assert choose_precision(encoder(shift=float("nan")), PAIRS, HOW, "bf16").precision == "fp32"


def test_what_is_not_faster_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "lower_precision", lambda device: "bf16")
    monkeypatch.setattr(precision, "_seconds", lambda call: 1.0)
    chosen = choose_precision(encoder(), PAIRS, HOW, "bf16")
    assert (chosen.precision, chosen.reason) == ("fp32", "bf16 is not clearly faster here")


def test_what_one_machine_chose_does_not_bind_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may share a cache; bfloat16 that is not computed in hardware is ten times slower."""
    data: Dataset = load_dataset("digits")

    def settled(lower: str | None, seconds: tuple[float, float]) -> str:
        clock = itertools.cycle(seconds)
        monkeypatch.setattr(precision, "lower_precision", lambda device: lower)
        monkeypatch.setattr(precision, "_seconds", lambda call: next(clock))
        return precision.settled_precision(encoder(), data, HOW, lambda: PAIRS, cache=tmp_path).precision

    assert settled("bf16", (1.0, 2.0)) == "bf16"
    assert settled(None, (1.0, 2.0)) == "fp32"
    assert settled("fp16", (2.0, 1.0)) == "fp32"
    assert settled("bf16", (2.0, 1.0)) == "bf16"


@pytest.mark.usefixtures("fast_bf16")
def test_the_choice_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data: Dataset = load_dataset("digits")
    first = precision.settled_precision(encoder(), data, HOW, lambda: PAIRS, cache=tmp_path)
    monkeypatch.setattr(precision, "choose_precision", lambda *_: pytest.fail("decided twice"))
    again = precision.settled_precision(encoder(), data, HOW, lambda: PAIRS, cache=tmp_path)
    assert first == again
    (kept,) = (tmp_path / "precision").iterdir()
    kept.write_text("{}")
    with pytest.raises(pytest.fail.Exception, match="decided twice"):  # what is damaged is decided anew
        precision.settled_precision(encoder(), data, HOW, lambda: PAIRS, cache=tmp_path)
