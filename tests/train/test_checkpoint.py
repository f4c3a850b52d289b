"""The checkpoint file: what is written is read back, what is broken is named, nothing is half written."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit.errors import EncoderError, OutputError, TrainingError, UnreadableFile
from sslaudit.train.checkpoint import (
    Header,
    is_checkpoint,
    read_checkpoint,
    training_of,
    write_checkpoint,
)
from sslaudit.train.methods import Method

HEADER = Header(
    method="simclr(temperature=0.2)",
    backbone="conv3",
    dim=4,
    recipe="crop(scale=0.5)+color@1",
    size=8,
    mean=[0.5, 0.5, 0.5],
    std=[0.5, 0.25, 0.5],
    interpolation="bilinear",
    crop=1.0,
    data="digits",
    data_digest="0" * 64,
    images=1258,
    epochs=60,
    epoch=12,
    batch_size=128,
    lr=1e-3,
    seed=0,
    sslaudit="0.1.0",
    torch="2.6.0",
)


def method() -> Method:
    return Method(nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "x.pt"
    write_checkpoint(path, HEADER, method())
    return path


def test_what_is_written_is_read_back(file: Path) -> None:
    content = torch.load(file, weights_only=True)
    assert is_checkpoint(content)
    header, backbone, projector = read_checkpoint(content)
    assert header == HEADER
    assert header.preprocessing() == Preprocess(
        size=(8, 8), mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5), source="checkpoint header"
    )
    assert backbone.keys() == nn.BatchNorm1d(4).state_dict().keys()
    assert backbone["num_batches_tracked"].dtype == torch.int64
    assert projector is not None
    assert projector["weight"].shape == (2, 4)
    assert [path.name for path in file.parent.iterdir()] == ["x.pt"]


def test_the_header_is_plain(file: Path) -> None:
    stored = torch.load(file, weights_only=True)["sslaudit"]
    assert stored == dataclasses.asdict(HEADER)
    assert {type(value) for value in stored.values()} <= {str, int, float, list, type(None)}


def test_a_checkpoint_may_lack_its_projector_and_say_more_than_we_know(file: Path) -> None:
    content = torch.load(file, weights_only=True)
    del content["projector"]
    content["sslaudit"]["mood"] = "good"
    header, _, projector = read_checkpoint(content)
    assert header == HEADER
    assert projector is None


def test_other_files_are_no_checkpoints() -> None:
    for content in ({}, nn.Linear(2, 2).state_dict(), {"sslaudit": "0.1.0", "backbone": {}}):
        assert not is_checkpoint(content)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": 3}, "format 3, made by a newer sslaudit; this one reads format 2"),
        ({"epoch": ...}, "lacks epoch"),
        ({"optimiser": "adam"}, "malformed: optimiser"),
        ({"format": "one"}, "malformed: format"),
        ({"size": "large"}, "malformed: size"),
        ({"size": 0}, "malformed: preprocessing"),
        ({"mean": 0.5}, "malformed: mean"),
        ({"mean": [0.5]}, "malformed: preprocessing"),
        ({"std": [0.5, 0.0, 0.5]}, "malformed: preprocessing"),
        ({"interpolation": "sinc"}, "malformed: interpolation"),
        ({"recipe": None}, "malformed: recipe"),
        ({"recipe": ..., "epochs": ...}, "lacks epochs, recipe"),
    ],
    ids=str,
)
def test_a_malformed_header_is_named(file: Path, changed: dict[str, object], said: str) -> None:
    content = torch.load(file, weights_only=True)
    header = {**content["sslaudit"], **changed}
    header = {name: value for name, value in header.items() if value is not ...}
    with pytest.raises(UnreadableFile, match=said) as caught:
        read_checkpoint({**content, "sslaudit": header})
    assert isinstance(caught.value, EncoderError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["backbone", "projector"])
def test_what_holds_no_tensors_is_named(file: Path, part: str) -> None:
    content = torch.load(file, weights_only=True)
    with pytest.raises(UnreadableFile, match=f"'{part}' is no mapping of tensors"):
        read_checkpoint({**content, part: {"weight": [1.0]}})
    with pytest.raises(UnreadableFile, match="'backbone' is no mapping"):
        read_checkpoint({"sslaudit": content["sslaudit"]})


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full" / "inside").mkdir(parents=True)
    for path in (tmp_path / "file" / "x.pt", tmp_path / "full", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot write the checkpoint"):
            write_checkpoint(path, HEADER, method())
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "file",
        "full",
        "full/inside",
    ]


def test_the_file_is_as_readable_as_any_other(file: Path) -> None:
    (file.parent / "any").touch()
    assert file.stat().st_mode == (file.parent / "any").stat().st_mode


def test_a_file_of_format_1_is_of_a_finished_run_by_the_recipe_of_its_time(file: Path) -> None:
    content = torch.load(file, weights_only=True)
    later = (
        "epoch",
        "views",
        "optimiser",
        "momentum",
        "weight_decay",
        "warm_up",
        "clip",
        "precision",
        "processes",
    )
    header = {name: value for name, value in content["sslaudit"].items() if name not in later}
    found, _, _ = read_checkpoint({**content, "sslaudit": {**header, "format": 1}})
    assert found == dataclasses.replace(HEADER, format=1, epoch=60)
    assert (found.optimiser, found.weight_decay, found.precision) == ("adamw", 1e-4, "fp32")
    assert training_of(content) is None


def test_an_unfinished_run_holds_all_tensors_once(tmp_path: Path) -> None:
    large = Method(nn.Linear(500, 500), nn.Identity())
    write_checkpoint(tmp_path / "a.pt", HEADER, large)
    write_checkpoint(tmp_path / "b.pt", HEADER, large, {"course": {"epoch": 3}})
    training = training_of(torch.load(tmp_path / "b.pt", weights_only=True))
    assert training is not None
    assert training["course"] == {"epoch": 3}
    assert torch.equal(training["method"]["backbone.weight"], large.backbone.weight)
    assert (tmp_path / "b.pt").stat().st_size < 1.1 * (tmp_path / "a.pt").stat().st_size


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_never_written(file: Path, value: float) -> None:
    before, bad = file.read_bytes(), method()
    bad.backbone.running_var[1] = value
    with pytest.raises(TrainingError, match=r"'backbone\.running_var' hold NaN or infinity"):
        write_checkpoint(file, HEADER, bad)
    assert file.read_bytes() == before
