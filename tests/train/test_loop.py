"""Training: it learns, it repeats, it refuses, and its file is all that ``evaluate`` needs."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sslaudit import TrainingError, UsageError, load_dataset, load_encoder
from sslaudit.data import Dataset, subset
from sslaudit.errors import OutputError, UnreadableFile
from sslaudit.registry import installed
from sslaudit.train import checkpoint, loop
from sslaudit.train.backbones import BACKBONES, build_backbone
from sslaudit.train.loop import Epoch, train


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def run(data: Dataset, output: Path, method: str = "simclr", **changed: object) -> checkpoint.Header:
    choices = {"size": 8, "recipe": "crop(scale=0.5)+color", "epochs": 1, "batch_size": 64, **changed}
    registry = installed()
    return train(
        registry.methods.get(method), data, output=output, named=registry.recipes.usable(), **choices
    )


@pytest.mark.parametrize("method", ["simclr", "barlow-twins"])
def test_the_file_says_everything(digits: Dataset, tmp_path: Path, method: str) -> None:
    header = run(subset(digits, max_images=200), tmp_path / "x.pt", method)
    encoder = load_encoder(str(tmp_path / "x.pt"))
    stored = torch.load(tmp_path / "x.pt", weights_only=True)
    assert stored["sslaudit"]["method"] == encoder.facts["method"] == method
    assert encoder.facts["recipe"] == header.recipe == "crop(scale=0.5)+color@1"
    assert encoder.preprocess.size == (8, 8)
    assert encoder.preprocess.source == "checkpoint header"
    assert encoder.preprocess.mean == (0.5, 0.5, 0.5)
    assert encoder.load.ignored[0].startswith("projector (")
    net = build_backbone("conv3")
    net.load_state_dict(stored["backbone"])
    images = torch.randn(3, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(images), net.eval()(images))


def test_a_seed_repeats_and_global_randomness_is_left_alone(digits: Dataset, tmp_path: Path) -> None:
    few = subset(digits, max_images=200)
    before = torch.random.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(few, tmp_path / name, seed=seed)
    a, b, c = (torch.load(tmp_path / name, weights_only=True)["backbone"] for name in "abc")
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["0.weight"], c["0.weight"])


def test_held_out_images_are_never_read(digits: Dataset, tmp_path: Path) -> None:
    import dataclasses

    read: set[int] = set()

    def watched(i: int) -> np.ndarray:
        read.add(i)
        return digits.read(i)

    run(dataclasses.replace(digits, read=watched), tmp_path / "x.pt", batch_size=256)
    assert read <= set(digits.train.tolist())
    assert len(read) > 1000


@pytest.mark.parametrize(("images", "batch"), [(33, 8), (33, 32), (33, 10), (33, 33), (33, 500)])
@pytest.mark.parametrize("method", ["simclr", "barlow-twins"])
def test_any_last_batch_trains(digits: Dataset, tmp_path: Path, method: str, images: int, batch: int) -> None:
    """Thirty-three training images: the last batch has one image, three, or all."""
    import dataclasses

    few = dataclasses.replace(digits, train=digits.train[:images])
    losses: list[Epoch] = []
    run(few, tmp_path / "x.pt", method, batch_size=batch, epochs=2, on_epoch=losses.append)
    assert len(losses) == 2
    assert all(np.isfinite(epoch.loss) and 0 <= epoch.spread <= 1.01 for epoch in losses)


def test_it_learns_on_the_digits(digits: Dataset, tmp_path: Path) -> None:
    """A few epochs of SimCLR already lift the nearest class centre above its untrained copy."""
    from sslaudit import evaluate, paired_difference

    run(digits, tmp_path / "x.pt", epochs=8, batch_size=256, lr=3e-3)
    trained, untrained = (
        evaluate(ref, "digits", metrics="nearest-centre,few-shot", recipe="none", device="cpu")
        for ref in (str(tmp_path / "x.pt"), f"untrained:{tmp_path / 'x.pt'}")
    )
    for term in ("nearest-centre", "few-shot"):
        _, interval = paired_difference(trained, untrained, term)
        assert interval.low > 0


def test_nothing_is_trained_from_bad_choices(digits: Dataset, tmp_path: Path) -> None:
    import dataclasses

    cases: list[tuple[dict[str, object], type[Exception], str]] = [
        ({"epochs": 0}, TrainingError, "not trained is not written"),
        ({"batch_size": 1}, TrainingError, "at least 2"),
        ({"lr": 0.0}, TrainingError, "--lr"),
        ({"recipe": "none"}, TrainingError, "draws no views"),
        ({"backbone": "conv4"}, UsageError, "conv3"),
    ]
    for changed, kind, said in cases:
        with pytest.raises(kind, match=said):
            run(digits, tmp_path / "x.pt", **changed)
    with pytest.raises(TrainingError, match="needs at least 2"):
        run(dataclasses.replace(digits, train=digits.train[:1]), tmp_path / "x.pt")
    with pytest.raises(OutputError, match="is a folder"):
        run(digits, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        run(digits, tmp_path / "file" / "x.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_a_loss_that_is_not_finite_stops_and_writes_nothing(digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at step"):
        run(subset(digits, max_images=300), tmp_path / "x.pt", "barlow-twins", lr=1e30, epochs=5)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_file(digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(content: object, file: object) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        run(subset(digits, max_images=100), tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())


def test_a_newer_or_broken_header_is_named(digits: Dataset, tmp_path: Path) -> None:
    run(subset(digits, max_images=100), tmp_path / "x.pt")
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    torch.save({**content, "sslaudit": {**content["sslaudit"], "format": 2}}, tmp_path / "new.pt")
    with pytest.raises(UnreadableFile, match="has format 2"):
        load_encoder(str(tmp_path / "new.pt"))
    header = {name: value for name, value in content["sslaudit"].items() if name != "recipe"}
    torch.save({**content, "sslaudit": header}, tmp_path / "old.pt")
    with pytest.raises(UnreadableFile, match="lacks recipe"):
        load_encoder(str(tmp_path / "old.pt"))


def test_the_learning_rate_rises_then_falls() -> None:
    rates = [loop._share(step, 100) for step in range(100)]
    assert rates[9] == pytest.approx(1)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_embed(name: str) -> None:
    net: nn.Module = build_backbone(name, seed=0).eval()
    again = build_backbone(name, seed=0)
    assert all(
        torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True)
    )
    with torch.inference_mode():
        assert net(torch.zeros(2, 3, 32, 32)).ndim == 2
