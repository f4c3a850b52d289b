"""Real ImageNet weights in the layouts of SSL projects: what is embedded is the undisguised network."""

import copy
import io
import pickle
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn

from sslaudit import load_encoder
from tests.conftest import Run

pytestmark = pytest.mark.network

State = dict[str, Tensor]
NETWORKS = ("efficientnet_lite0", "mobilenet_v2", "squeezenet1_1")


@dataclass(frozen=True, kw_only=True)
class Real:
    """A network with real weights."""

    state: State
    """Its tensors under the names of the file that holds them."""
    other_names: State
    """The same under timm's names; torchvision's for SqueezeNet, which timm lacks."""
    embed: nn.Module
    """(B, 3, H, W) -> (B, D)."""


class Pooled(nn.Module):
    """What stands before the classifier, averaged over the map."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)."""
        if isinstance(self.model, torchvision.models.SqueezeNet):
            return self.model.features(images).mean((2, 3))
        return self.model.forward_head(self.model.forward_features(images), pre_logits=True)


class _Arrays(pickle.Unpickler):
    """Opens a pickle of numpy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"numpy.core.multiarray": "_reconstruct", "numpy": "ndarray dtype"}
        if name not in allowed.get(module, "").split():
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _from_timm(name: str, state: State) -> Real:
    """timm's model with the weights of ``state``, brought over in order of definition, not by name."""
    model = timm.create_model(name, pretrained=False, num_classes=1000 if "_fc.weight" in state else 0)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return Real(state=state, other_names=model.state_dict(), embed=Pooled(model).eval())


def _squeezenet(path: Path) -> Real:
    """The arrays are height, width, input, output; the modules are named as in Caffe."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy says of pickles of Python 2 that they are old
        arrays = _Arrays(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    parts = {"features.0": "conv1", "classifier.1": "conv10"}
    for fire, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True):
        parts |= {
            f"features.{place}.squeeze": f"fire{fire}/squeeze1x1",
            f"features.{place}.expand1x1": f"fire{fire}/expand1x1",
            f"features.{place}.expand3x3": f"fire{fire}/expand3x3",
        }
    state = {}
    for part, name in parts.items():
        weight, bias = arrays[name]
        state[f"{part}.weight"] = torch.from_numpy(np.ascontiguousarray(weight.transpose(3, 2, 0, 1)))
        state[f"{part}.bias"] = torch.from_numpy(bias.copy())
    model = torchvision.models.squeezenet1_1(weights=None)
    model.load_state_dict(state)
    return Real(state=state, other_names=model.state_dict(), embed=Pooled(model).eval())


@pytest.fixture(scope="module")
def networks(lite0: Path, mobilenet: Path, squeezenet: Path) -> dict[str, Real]:
    def read(path: Path) -> State:
        return torch.load(path, map_location="cpu", weights_only=True)

    found = (
        _from_timm("tf_efficientnet_lite0", read(lite0)),
        _from_timm("mobilenetv2_100", read(mobilenet)),
        _squeezenet(squeezenet),
    )
    return dict(zip(NETWORKS, found, strict=True))


@dataclass(frozen=True, kw_only=True)
class Disguise:
    """A file and what the load audit must say of it."""

    content: Mapping[str, Any]
    branch: str = ""
    prefix: str = ""
    ignored: str = ""
    said: str = ""
    rounded: bool = False
    """Whether the weights are stored in half precision."""
    write: Callable[[Any, Path], None] = torch.save


DISGUISES: dict[str, Callable[[Real], Disguise]] = {}


def disguise(make: Callable[[Real], Disguise]) -> Callable[[Real], Disguise]:
    """Lists a disguise under its own name."""
    DISGUISES[make.__name__] = make
    return make


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def shifted(state: State) -> State:
    """Other weights in the same layout: a student, a key encoder."""
    return {name: tensor * 0.5 if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def head(prefix: str) -> State:
    return under(prefix, nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)).state_dict())


@disguise
def data_parallel(real: Real) -> Disguise:
    content = {"epoch": 3, "arch": "unknown", "state_dict": under("module.", real.state)}
    return Disguise(content=content, branch="state_dict", prefix="module.")


@disguise
def dino(real: Real) -> Disguise:
    """Source: facebookresearch/dino main_dino.py"""
    content = {
        "student": {**under("module.backbone.", shifted(real.state)), **head("module.head.mlp.")},
        "teacher": {**under("backbone.", real.state), **head("head.mlp.")},
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 100,
        "args": Namespace(arch="unknown", out_dim=4),
        "dino_loss": {"center": torch.zeros(1, 4)},
    }
    return Disguise(content=content, branch="teacher", prefix="backbone.", ignored="head")


@disguise
def lightning(real: Real) -> Disguise:
    """Source: Lightning-AI/pytorch-lightning src/lightning/pytorch/core/saving.py"""
    state = {**under("backbone.", real.state), **head("projection_head.")}
    content = {"state_dict": state, "pytorch-lightning_version": "2.1.0", "hyper_parameters": {"lr": 0.1}}
    return Disguise(content=content, branch="state_dict", prefix="backbone.", ignored="projection_head")


@disguise
def moco(real: Real) -> Disguise:
    """Source: facebookresearch/moco moco/builder.py"""
    state = {
        **under("module.encoder_q.", real.state),
        **under("module.encoder_k.", shifted(real.state)),
        "module.queue": torch.randn(4, 16),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    return Disguise(
        content={"epoch": 200, "state_dict": state},
        branch="state_dict",
        prefix="module.encoder_q.",
        ignored="queue",
    )


@disguise
def byol(real: Real) -> Disguise:
    """Source: lucidrains/byol-pytorch byol_pytorch/byol_pytorch.py"""
    content = {
        **under("net.", real.state),
        **under("online_encoder.net.", real.state),
        **head("online_encoder.projector."),
        **under("target_encoder.net.", shifted(real.state)),
        **head("online_predictor."),
    }
    return Disguise(content=content, prefix="online_encoder.net.", ignored="online_predictor")


@disguise
def nested_four_deep(real: Real) -> Disguise:
    content = {"experiment": {"run": {"model": {"weights": real.state}}}, "version": 4}
    return Disguise(content=content, branch="experiment.run.model.weights")


@disguise
def safetensors_file(real: Real) -> Disguise:
    content = {name: tensor.contiguous() for name, tensor in under("encoder.", real.state).items()}
    write = safetensors.torch.save_file
    return Disguise(content=content, prefix="encoder.", write=write)


@disguise
def half_precision(real: Real) -> Disguise:
    state = {n: t.half() if t.is_floating_point() else t for n, t in real.state.items()}
    return Disguise(content=state, said="float16", rounded=True)


@disguise
def compiled(real: Real) -> Disguise:
    """Source: pytorch/pytorch torch/_dynamo/eval_frame.py (OptimizedModule)"""
    return Disguise(content={"model": under("_orig_mod.", real.state)}, branch="model", prefix="_orig_mod.")


@disguise
def fully_sharded(real: Real) -> Disguise:
    """Source: pytorch/pytorch torch/distributed/fsdp/fully_sharded_data_parallel.py"""
    state = {name.replace(".", "._fsdp_wrapped_module.", 1): one for name, one in real.state.items()}
    return Disguise(content={**under("encoder.", state), **head("head.")}, prefix="encoder.", ignored="head")


@disguise
def simsiam(real: Real) -> Disguise:
    """Source: facebookresearch/simsiam simsiam/builder.py"""
    state = {**under("module.encoder.", real.state), **head("module.predictor.")}
    return Disguise(
        content={"epoch": 100, "state_dict": state},
        branch="state_dict",
        prefix="module.encoder.",
        ignored="predictor",
    )


@disguise
def before_zip(real: Real) -> Disguise:
    def write(content: Any, path: Path) -> None:
        torch.save(content, path, _use_new_zipfile_serialization=False)

    return Disguise(content={"state_dict": real.state}, branch="state_dict", write=write)


@disguise
def averaged_weights_beside(real: Real) -> Disguise:
    """Source: huggingface/pytorch-image-models timm/models/_helpers.py"""
    content = {"model": shifted(real.state), "model_ema": real.state, "epoch": 300}
    return Disguise(content=content, branch="model_ema")


@disguise
def names_of_another_library(real: Real) -> Disguise:
    return Disguise(
        content={"state_dict": under("model.", real.other_names)}, branch="state_dict", prefix="model."
    )


@disguise
def first_in_a_sequence(real: Real) -> Disguise:
    """``nn.Sequential(encoder, head)``"""
    return Disguise(content={**under("0.", real.state), **head("1.")}, prefix="0.")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", DISGUISES)
def test_features_are_those_of_the_undisguised_network(
    tmp_path: Path, networks: dict[str, Real], name: str, network: str
) -> None:
    real = networks[network]
    made = DISGUISES[name](real)
    path = tmp_path / ("model.safetensors" if name == "safetensors_file" else "model.pth")
    made.write(made.content, path)
    encoder = load_encoder(str(path))
    images = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    reference = copy.deepcopy(real.embed).half().float() if made.rounded else real.embed
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(images), reference(images), rtol=1e-5, atol=1e-5)
    assert encoder.load.matched == encoder.load.expected
    assert (encoder.load.branch, encoder.load.prefix) == (made.branch, made.prefix)
    assert made.ignored in " ".join(encoder.load.ignored)
    assert made.said in " ".join(encoder.load.assumptions)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:FutureWarning")  # announces its end; the format stays
@pytest.mark.parametrize("network", NETWORKS)
def test_a_script_of_the_network_embeds_like_it(
    tmp_path: Path, networks: dict[str, Real], network: str
) -> None:
    embed = copy.deepcopy(networks[network].embed)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.jit.trace(embed, images).save(str(tmp_path / "encoder.pt"))
    encoder = load_encoder(str(tmp_path / "encoder.pt"))
    with torch.inference_mode():
        torch.testing.assert_close(encoder.embed(images), embed(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "network", "said"),
    [
        ("dino", "efficientnet_lite0", ("teacher", "backbone.", "student", "head")),
        ("moco", "mobilenet_v2", ("state_dict", "module.encoder_q.", "encoder_k", "queue")),
        ("fully_sharded", "squeezenet1_1", ("encoder.", "_fsdp_wrapped_module", "head")),
    ],
)
def test_inspect_says_what_was_taken_and_what_was_left(
    run: Run, tmp_path: Path, networks: dict[str, Real], name: str, network: str, said: tuple[str, ...]
) -> None:
    torch.save(DISGUISES[name](networks[network]).content, tmp_path / "model.pth")
    done = run("inspect", "model.pth")
    assert done.returncode == 0, done.stderr
    assert not [word for word in said if word not in done.stdout], done.stdout
