"""Calls that a pickle makes to build data: written down for classes of other projects, and never made."""

import argparse
import builtins
import datetime
import decimal
import enum
import fractions
import operator
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import transforms

from sslaudit.errors import UnsafeFile
from sslaudit_formats.opened import Inert, Opened
from sslaudit_formats.read import read

WEIGHTS = {"conv1.weight": torch.arange(6.0).reshape(2, 3)}


class Mode(enum.Enum):
    TRAIN = "train"
    TEST = "test"


class Level(enum.IntEnum):
    LOW = 1


class Parts(enum.Flag):
    STEM = 1
    HEAD = 2


class Text(str, enum.Enum):  # noqa: UP042 (as projects write it)
    A = "a"


class Outer:
    class Inner(enum.Enum):
        ONE = 1


class Reduced:
    """Unpickles as the call that it was made with."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.call

    def __call__(self) -> None:
        """pickle writes a call of what can be called; here, of what another call returns."""


class Acting:
    """Acts when it is called."""

    def __new__(cls, marker: str) -> "Acting":
        Path(marker).mkdir()
        return super().__new__(cls)

    @classmethod
    def made(cls, marker: str) -> "Acting":
        return cls(marker)


def act(marker: str) -> None:
    Path(marker).mkdir()


def reopened(tmp_path: Path, value: Any, *, zipped: bool = True) -> tuple[Any, Opened]:
    path = tmp_path / "model.ckpt"
    content = {"state_dict": WEIGHTS, "hyper_parameters": {"x": value}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    opened = read(str(path))
    assert opened.content is not None
    assert torch.equal(opened.content["state_dict"]["conv1.weight"], WEIGHTS["conv1.weight"])
    return opened.content["hyper_parameters"]["x"], opened


MEMBERS: dict[str, tuple[Any, str]] = {
    "enum": (Mode.TRAIN, "Mode"),
    "int enum": (Level.LOW, "Level"),
    "flag": (Parts.STEM, "Parts"),
    "text enum": (Text.A, "Text"),
    "nested": (Outer.Inner.ONE, "Outer.Inner"),
    "by name": (Reduced(getattr, (Mode, "TEST")), "Mode.TEST"),
    "a member of a nested one by name": (Reduced(getattr, (Outer.Inner, "ONE")), "Outer.Inner.ONE"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", MEMBERS)
def test_members_of_enumerations_are_inert(tmp_path: Path, name: str, zipped: bool) -> None:
    given, said = MEMBERS[name]
    value, opened = reopened(tmp_path, given, zipped=zipped)
    assert isinstance(value, Inert)
    assert value.name == f"{__name__}.{said}"
    if isinstance(given, enum.Enum):
        assert list(value.state) == [given.value]
    assert opened.notes == (f"hyper_parameters.x is a {__name__}.{said}: not run, read as inert data",)


def test_members_as_keys_stay_apart(tmp_path: Path) -> None:
    value, _ = reopened(tmp_path, {Mode.TRAIN: 1, Mode.TEST: 2})
    assert value == {f"{__name__}.Mode('train')": 1, f"{__name__}.Mode('test')": 2}


STANDARD: dict[str, Any] = {
    "decimal": decimal.Decimal("0.1"),
    "fraction": fractions.Fraction(1, 3),
    "pattern": Reduced(re._compile, ("a+", 32)),
    "uuid": uuid.UUID(int=5),
    "two flags": Reduced(operator.or_, (Reduced(Parts, (1,)), Reduced(Parts, (2,)))),
    "time": datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC),
}


@pytest.mark.parametrize("name", STANDARD)
def test_harmless_types_of_the_standard_library_are_no_news(tmp_path: Path, name: str) -> None:
    value, opened = reopened(tmp_path, STANDARD[name])
    assert opened.notes == ()
    assert isinstance(value, Inert) or value == STANDARD[name]


def test_a_saved_transform_is_inert(tmp_path: Path) -> None:
    made = transforms.Compose([transforms.Resize(256), transforms.ToTensor()])
    value, opened = reopened(tmp_path, made)
    assert isinstance(value, Inert)
    resize = value.state["transforms"][0]
    assert resize.state["interpolation"].name == "torchvision.transforms.functional.InterpolationMode"
    assert list(resize.state["interpolation"].state) == ["bilinear"]
    assert opened.notes == (
        "hyper_parameters.x is a torchvision.transforms.transforms.Compose: not run, read as inert data",
    )


def test_constructors_of_other_projects_are_not_called(tmp_path: Path) -> None:
    marker = str(tmp_path / "MARKER")
    value, _ = reopened(tmp_path, Reduced(Acting, (marker,)))
    assert isinstance(value, Inert)
    assert list(value.state) == [marker]
    assert not (tmp_path / "MARKER").exists()


REFUSED: dict[str, tuple[Callable[[str], Any], str]] = {
    "popen": (lambda m: Reduced(subprocess.Popen, (["mkdir", m],)), "subprocess.Popen"),
    "parser": (lambda m: Reduced(argparse.ArgumentParser, (m,)), "argparse.ArgumentParser"),
    "exception": (lambda m: Reduced(builtins.SystemExit, (m,)), "builtins.SystemExit"),
    "environment": (lambda m: Reduced(os.mkdir, (m,)), "posix.mkdir"),
    "function": (lambda m: Reduced(act, (m,)), f"{__name__}.act"),
    "method": (lambda m: Reduced(Reduced(getattr, (Acting, "made")), (m,)), f"{__name__}.Acting.made"),
    "inner of the library": (
        lambda m: Reduced(Reduced(getattr, (subprocess.Popen, "Popen")), (m,)),
        "subprocess.Popen",
    ),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_functions_and_the_standard_library_stay_refused(tmp_path: Path, name: str, zipped: bool) -> None:
    make, said = REFUSED[name]
    path = tmp_path / "evil.pt"
    content = {"state_dict": WEIGHTS, "args": make(str(tmp_path / "MARKER"))}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFile) as caught:
        read(str(path))
    assert f"calls {said}" in str(caught.value)
    assert not (tmp_path / "MARKER").exists()


def test_very_many_members_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    names = [Reduced(getattr, (Mode, f"M{i}")) for i in range(5000)]
    torch.save({"state_dict": WEIGHTS, "args": names}, path)
    with pytest.raises(UnsafeFile, match=r"calls builtins\.getattr"):
        read(str(path))


def test_what_was_allowed_for_one_file_is_forgotten(tmp_path: Path) -> None:
    before = set(map(str, torch.serialization.get_safe_globals()))
    reopened(tmp_path, Outer.Inner.ONE)
    assert set(map(str, torch.serialization.get_safe_globals())) == before
    assert "my_ssl_project" not in sys.modules
