"""The checkpoint file: what is written is read back, what is broken is named, nothing is half written."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit.errors import EncoderError, OutputError, UnreadableFile
from sslaudit.train.checkpoint import Header, is_checkpoint, read_checkpoint, write_checkpoint

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
    batch_size=128,
    lr=1e-3,
    seed=0,
    sslaudit="0.1.0",
    torch="2.6.0",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "x.pt"
    write_checkpoint(path, HEADER, nn.BatchNorm1d(4), nn.Linear(4, 2))
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
    assert {type(value) for value in stored.values()} <= {str, int, float, list}


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
        ({"format": 2}, "format 2, made by a newer sslaudit; this one reads format 1"),
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
            write_checkpoint(path, HEADER, nn.Linear(4, 4), nn.Linear(4, 2))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        "file",
        "full",
        "full/inside",
    ]


def test_the_file_is_as_readable_as_any_other(file: Path) -> None:
    (file.parent / "any").touch()
    assert file.stat().st_mode == (file.parent / "any").stat().st_mode
