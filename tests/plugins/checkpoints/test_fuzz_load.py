"""Random damage to a checkpoint: the whole backbone loads exactly, or the file is refused in words."""

import string
import tempfile
from pathlib import Path

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslaudit import load_encoder
from sslaudit.errors import EncoderError

State = dict[str, Tensor]

SEGMENT = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8)
PREFIX = st.lists(
    st.one_of(SEGMENT, st.sampled_from(["module", "backbone", "encoder_q", "teacher", "features", "0", ""])),
    max_size=3,
).map(lambda parts: "".join(f"{part}." for part in parts))
ODD = st.text(min_size=1, max_size=6)
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def intact() -> State:
    """The smallest of the known nets: SqueezeNet 1.1 without its classifier, 50 tensors, 3 MB."""
    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith("classifier")}


def outcome(content: object) -> State | str:
    """The weights that were loaded, or the message of the refusal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.pt")
        torch.save(content, path)
        try:
            encoder = load_encoder(f"file,size=32:{path}")
        except EncoderError as error:
            said = str(error)
            assert str(path) in said
            assert 0 < len(said.splitlines()) <= 10
            return said
        assert encoder.load.matched == encoder.load.expected
        return {name: tensor.clone() for name, tensor in encoder.module.state_dict().items()}


def same(loaded: State | str, intact: State) -> bool:
    return (
        isinstance(loaded, dict)
        and loaded.keys() == intact.keys()
        and all(torch.equal(loaded[name], tensor) for name, tensor in intact.items())
    )


@FUZZ
@given(prefix=PREFIX, containers=st.lists(SEGMENT, max_size=4), heads=st.lists(SEGMENT, max_size=3))
def test_any_prefix_container_and_head(
    intact: State, prefix: str, containers: list[str], heads: list[str]
) -> None:
    content: object = {
        **{prefix + name: tensor for name, tensor in intact.items()},
        **{f"{head}_head.weight": torch.ones(3, 5) for head in heads},
    }
    for key in containers:
        content = {key: content, "epoch": 4}
    loaded = outcome(content)
    hidden = any("optim" in key.lower() for key in containers)
    assert same(loaded, intact) or (hidden and isinstance(loaded, str))


@FUZZ
@given(data=st.data(), prefix=PREFIX)
def test_what_is_dropped_renamed_or_reshaped_is_refused(
    intact: State, data: st.DataObject, prefix: str
) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(intact)), min_size=1, max_size=4, unique=True))
    state = dict(intact)
    for name in names:
        tensor = state.pop(name)
        match data.draw(st.sampled_from(["drop", "rename", "reshape", "kind", "nan"])):
            case "rename":
                state[f"{name}{data.draw(ODD)}"] = tensor
            case "reshape":
                state[name] = tensor[None] if data.draw(st.booleans()) else tensor[:-1]
            case "kind":
                state[name] = tensor.to(
                    data.draw(st.sampled_from([torch.int32, torch.bool, torch.complex64]))
                )
            case "nan":
                state[name] = torch.full_like(tensor, float("nan"))
    said = outcome({prefix + name: tensor for name, tensor in state.items()})
    assert isinstance(said, str)


@FUZZ
@given(
    content=st.recursive(
        st.one_of(st.integers(), st.text(max_size=5), st.none(), st.just(torch.ones(2, 3))),
        lambda inner: st.one_of(
            st.dictionaries(st.one_of(ODD, st.integers()), inner, max_size=4), st.lists(inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_anything_else_that_torch_can_save_is_refused_in_words(content: object) -> None:
    assert isinstance(outcome(content), str)
