"""A pickle that wants code to run is refused with the name of that code, and nothing of it is run."""

import argparse
import builtins
import copyreg
import functools
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sslaudit.errors import EncoderError, UnreadableFile, UnsafeFile
from sslaudit_formats.opened import Inert
from sslaudit_formats.read import read

WEIGHTS = {"conv1.weight": torch.arange(6.0).reshape(2, 3)}


class Reduced:
    """Unpickles as the call that it was made with."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.call


class Opener:
    """Acts when its state is set."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __setstate__(self, state: dict[str, str]) -> None:
        Path(state["marker"]).mkdir()


class New:
    """Acts when it is made."""

    def __new__(cls, marker: str) -> "New":
        if os.environ.get("SSLAUDIT_TEST_ACT"):
            Path(marker).mkdir()
        self = super().__new__(cls)
        self.marker = marker
        return self

    def __getnewargs__(self) -> tuple[str]:
        return (self.marker,)


PAYLOADS: dict[str, tuple[Callable[[str], Any], str]] = {
    "os.mkdir": (lambda m: Reduced(os.mkdir, (m,)), "posix.mkdir"),
    "os.system": (lambda m: Reduced(os.system, (f"mkdir {m}",)), "posix.system"),
    "eval": (lambda m: Reduced(builtins.eval, (f"__import__('os').mkdir({m!r})",)), "builtins.eval"),
    "exec": (lambda m: Reduced(builtins.exec, (f"import os; os.mkdir({m!r})",)), "builtins.exec"),
    "popen": (lambda m: Reduced(subprocess.Popen, (["mkdir", m],)), "subprocess.Popen"),
    "pathlib": (lambda m: Reduced(Path.touch, (Path(m),)), "getattr"),
    "partial": (lambda m: Reduced(functools.partial(os.mkdir, m), ()), "mkdir"),
    "getattr": (lambda m: Reduced(getattr, (torch.Tensor, "numpy")), "builtins.getattr"),
    "import": (lambda m: Reduced(builtins.__import__, ("my_ssl_project",)), "builtins.__import__"),
    "reconstructor": (lambda m: Reduced(copyreg._reconstructor, (Opener, object, None)), "_reconstructor"),
    "class": (lambda m: Reduced(argparse.ArgumentParser, (m,)), "argparse.ArgumentParser"),
    "torch.load": (lambda m: Reduced(torch.load, (m,)), "torch.serialization.load"),
}

PLACES: dict[str, Callable[[Any], Any]] = {
    "top": lambda payload: payload,
    "beside weights": lambda payload: {"state_dict": WEIGHTS, "args": payload},
    "hyper_parameters": lambda payload: {"state_dict": WEIGHTS, "hyper_parameters": {"a": [(payload,)]}},
    "key": lambda payload: {"state_dict": WEIGHTS, (1, 2): {"x": {"y": payload}}},
    "parameter": lambda payload: {"state_dict": {**WEIGHTS, "x": payload}},
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project in the current folder, on the path, that leaves a mark when it is imported."""
    package = tmp_path / "my_ssl_project"
    package.mkdir()
    (package / "__init__.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'MARKER')!r})\n")
    (package / "models.py").write_text("class SimCLRNet:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", PAYLOADS)
def test_a_call_is_named_and_not_run(tmp_path: Path, name: str, place: str, zipped: bool) -> None:
    make, said = PAYLOADS[name]
    path = tmp_path / "evil.pt"
    torch.save(PLACES[place](make(str(tmp_path / "MARKER"))), path, _use_new_zipfile_serialization=zipped)
    before = set(sys.modules)
    with pytest.raises(UnsafeFile) as caught:
        read(str(path))
    message = str(caught.value)
    assert message.startswith(f"'{path}' ")
    assert said in message
    assert "not run" in message
    assert "model.state_dict()" in message
    assert not (tmp_path / "MARKER").exists()
    assert "my_ssl_project" not in set(sys.modules) - before


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("zipped", [True, False])
def test_no_protocol_runs_a_payload(tmp_path: Path, protocol: int, zipped: bool) -> None:
    content = {"state_dict": WEIGHTS, "args": Reduced(os.mkdir, (str(tmp_path / "MARKER"),))}
    torch.save(content, tmp_path / "evil.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps(content["args"], protocol))
    for name in ("evil.pt", "bare.pkl"):
        with pytest.raises(EncoderError):
            read(str(tmp_path / name))
    assert not (tmp_path / "MARKER").exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_newer_protocol_names_the_code_or_itself(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.pt"
    torch.save({"a": Reduced(os.mkdir, ("MARKER",))}, path, pickle_protocol=protocol)
    with pytest.raises(UnsafeFile, match=r"posix\.mkdir"):
        read(str(path))
    for content in (WEIGHTS, {**WEIGHTS, "args": argparse.Namespace(lr=1)}, {**WEIGHTS, "a": Opener(path)}):
        torch.save(content, path, pickle_protocol=protocol)
        with pytest.raises(
            UnreadableFile, match=rf"protocol {protocol} .*save it again without pickle_protocol"
        ):
            read(str(path))


def test_instances_are_read_as_inert_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLAUDIT_TEST_ACT", "1")
    path = tmp_path / "model.ckpt"
    new = New.__new__(New, str(tmp_path / "made"))
    (tmp_path / "made").rmdir()
    torch.save(
        {"state_dict": WEIGHTS, "hyper_parameters": {"config": Opener(tmp_path / "MARKER"), "net": new}}, path
    )
    opened = read(str(path))
    assert not (tmp_path / "MARKER").exists()
    assert not (tmp_path / "made").exists()
    assert opened.content is not None
    assert torch.equal(opened.content["state_dict"]["conv1.weight"], WEIGHTS["conv1.weight"])
    config = opened.content["hyper_parameters"]["config"]
    assert isinstance(config, Inert)
    assert config.name == f"{__name__}.Opener"
    assert config.state == {"marker": str(tmp_path / "MARKER")}
    assert f"hyper_parameters.config is a {__name__}.Opener: not run, read as inert data" in opened.notes
    assert not opened.trusted


def project_pickle(state: dict[str, Any], *, zipped: bool = True, name: str = "SimCLRNet") -> bytes:
    """What ``torch.save`` writes for an object of a class of ``my_ssl_project``, which is not imported."""
    module = type(sys)("my_ssl_project.models")
    kind = type(name, (nn.Module,), {"__module__": "my_ssl_project.models", "__qualname__": name})
    setattr(module, name, kind)
    made = io.BytesIO()
    sys.modules["my_ssl_project.models"] = module
    sys.modules["my_ssl_project"] = type(sys)("my_ssl_project")
    try:
        net = kind()
        net.fc = nn.Linear(2, 2)
        torch.save({**state, "model": net} if state else net, made, _use_new_zipfile_serialization=zipped)
    finally:
        del sys.modules["my_ssl_project.models"], sys.modules["my_ssl_project"]
    return made.getvalue()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("state", [{}, {"epoch": 3, "optimizer": {"state": {"exp_avg": torch.ones(2)}}}])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_pickled_network_is_refused_with_its_class(
    tmp_path: Path, state: dict[str, Any], zipped: bool
) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(project_pickle(state, zipped=zipped))
    with pytest.raises(UnsafeFile) as caught:
        read(str(path))
    for part in ("needs my_ssl_project.models.SimCLRNet to open", "model.state_dict()", "--trust-pickle"):
        assert part in str(caught.value)
    assert "my_ssl_project" not in sys.modules
    assert not (tmp_path / "MARKER").exists()


def test_a_pickled_network_beside_weights_is_a_note(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(project_pickle({"state_dict": WEIGHTS}))
    opened = read(str(path))
    assert opened.content is not None
    assert torch.equal(opened.content["state_dict"]["conv1.weight"], WEIGHTS["conv1.weight"])
    assert opened.notes == ("model is a my_ssl_project.models.SimCLRNet: not run, read as inert data",)


def test_trusted_without_the_project_says_that_one_fact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "module.pt"
    path.write_bytes(project_pickle({}))
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(tmp_path)])
    with pytest.raises(UnreadableFile) as caught:
        read(str(path), trust_pickle=True)
    assert str(caught.value).endswith(
        "needs the module 'my_ssl_project', which is not installed or not on the path."
    )


def test_trusted_without_the_class_says_that_one_fact(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    nn.Forgotten = type("Forgotten", (nn.Module,), {"__module__": "torch.nn", "__qualname__": "Forgotten"})
    try:
        torch.save(nn.Forgotten(), path)
    finally:
        del nn.Forgotten
    with pytest.raises(
        UnreadableFile, match=r"needs a class that is not there: .*Forgotten.*torch\.nn"
    ) as caught:
        read(str(path), trust_pickle=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_trusted_networks_give_their_state_dict(tmp_path: Path, nested: bool, zipped: bool) -> None:
    path = tmp_path / "net.pt"
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    torch.save({"model": net, "epoch": 3} if nested else net, path, _use_new_zipfile_serialization=zipped)
    opened = read(str(path), trust_pickle=True)
    assert opened.trusted
    assert opened.content is not None
    state = opened.content["model"] if nested else opened.content
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())
    where = "model" if nested else "the file"
    assert opened.notes == (
        "code in this file was run (--trust-pickle)",
        f"{where} is a torch.nn.modules.container.Sequential: its state_dict is read",
    )


def test_trusted_runs_the_code_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"w": torch.ones(1), "a": Reduced(os.mkdir, (str(tmp_path / "MARKER"),))}, path)
    opened = read(str(path), trust_pickle=True)
    assert (tmp_path / "MARKER").exists()
    assert opened.trusted
    assert opened.notes == ("code in this file was run (--trust-pickle)",)
    torch.save({"a": Reduced(sys.exit, (3,))}, path)
    with pytest.raises(UnreadableFile, match="does not open, with its code run: SystemExit"):
        read(str(path), trust_pickle=True)


def test_trust_is_said_of_files_with_pickles_only(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(WEIGHTS, tmp_path / "a.safetensors")
    opened = read(str(tmp_path / "a.safetensors"), trust_pickle=True)
    assert not opened.trusted
    assert opened.notes == ()


def test_what_other_libraries_allowed_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save(
        {"w": torch.ones(1), "a": Reduced(subprocess.Popen, (["mkdir", str(tmp_path / "MARKER")],))}, path
    )
    before = torch.serialization.get_safe_globals()
    with torch.serialization.safe_globals([subprocess.Popen]):
        with pytest.raises(UnsafeFile, match=r"subprocess\.Popen"):
            read(str(path))
        assert set(torch.serialization.get_safe_globals()) == {subprocess.Popen, *before}
    assert set(torch.serialization.get_safe_globals()) == set(before)
    assert not (tmp_path / "MARKER").exists()


def test_a_pickle_of_very_many_classes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"a": "X" * 8}, path)
    names = b"".join(b"ca%d\nB\n0" % i for i in range(5000))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("evil/data.pkl", b"\x80\x02" + names + b"}.")
        archive.writestr("evil/version", b"3\n")
    with pytest.raises(UnsafeFile, match="names 5,000 classes"):
        read(str(path))


def test_nesting_and_sharing_end(tmp_path: Path) -> None:
    path = tmp_path / "deep.pt"
    deep: dict[str, Any] = {"w": torch.ones(1)}
    for _ in range(40):
        deep = {"a": deep, "b": deep}  # 2**40 ways to the tensor
    deep["self"] = deep
    torch.save(deep, path)
    content = read(str(path)).content
    assert content is not None
    assert content["self"] is content
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deep/data.pkl", b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")
        archive.writestr("deep/version", b"3\n")
    with pytest.raises(UnreadableFile, match="nested too deeply"):
        read(str(path))
