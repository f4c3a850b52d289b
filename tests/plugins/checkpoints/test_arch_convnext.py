"""ConvNeXt from names and shapes, against torchvision's and transformers' own classes in float64."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.convnext import ConvNeXt as TorchvisionConvNeXt

from sslaudit_checkpoints.architectures.base import Unfit
from tests.plugins.checkpoints.arch_reading import State, assert_same, complete, embed, read

DIMS = (8, 12, 16, 24)
DEPTHS = (1, 2, 1, 2)
PIXELS = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def randomise(model: nn.Module) -> dict[str, Tensor]:
    """New weights, so small where features are made that the eps of a layer norm shows."""
    generator = torch.Generator().manual_seed(1)
    small = re.compile(r"patch_embeddings|features\.0\.0|features\.[246]\.1|downsampling_layer\.1|scale")
    state = {
        name: torch.randn(tensor.shape, generator=generator) * (0.005 if small.search(name) else 0.3)
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state)
    model.eval()
    return state


@pytest.fixture(scope="module")
def torchvision_net() -> tuple[dict[str, Tensor], Tensor]:
    """torchvision/models/convnext.py: its tensors, and the features before its classifier."""
    settings = [CNBlockConfig(a, b, n) for a, b, n in zip(DIMS, (*DIMS[1:], None), DEPTHS, strict=True)]
    model = TorchvisionConvNeXt(settings, num_classes=5)
    state = randomise(model)
    model.classifier[2] = nn.Identity()
    with torch.inference_mode():
        return state, model.double()(PIXELS.double())


def official(state: State) -> dict[str, Tensor]:
    """facebookresearch/ConvNeXt models/convnext.py."""
    rules = (
        (r"^features\.0\.", "downsample_layers.0."),
        (r"^features\.([246])\.", lambda m: f"downsample_layers.{int(m[1]) // 2}."),
        (r"^features\.([1357])\.", lambda m: f"stages.{int(m[1]) // 2}."),
        (r"block\.0\.", "dwconv."),
        (r"block\.2\.", "norm."),
        (r"block\.3\.", "pwconv1."),
        (r"block\.5\.", "pwconv2."),
        (r"layer_scale", "gamma"),
        (r"^classifier\.0\.", "norm."),
        (r"^classifier\.2\.", "head."),
    )
    named = {}
    for name, tensor in state.items():
        for old, new in rules:
            name = re.sub(old, new, name)
        named[name] = tensor.flatten() if name.endswith("gamma") else tensor
    return named


def mmpretrain(state: State) -> dict[str, Tensor]:
    """open-mmlab/mmpretrain mmpretrain/models/backbones/convnext.py: norm3 is the last norm."""
    names = {"dwconv": "depthwise_conv", "pwconv": "pointwise_conv"}
    named = {}
    for name, tensor in official(state).items():
        for old, new in names.items():
            name = name.replace(old, new)
        named[re.sub("^norm", "norm3", name)] = tensor
    return named


LAYOUTS: dict[str, Callable[[State], Mapping[str, Tensor]]] = {
    "torchvision": lambda state: state,
    "facebookresearch": official,
    "mmpretrain": mmpretrain,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_layouts(torchvision_net: tuple[dict[str, Tensor], Tensor], layout: str, prefix: str) -> None:
    state, expected = torchvision_net
    reading = read({f"{prefix}{name}": tensor for name, tensor in LAYOUTS[layout](state).items()})
    assert_same(embed(reading, PIXELS), expected)
    assert reading.architecture.facts["pooling"] == "global average, then the last norm"
    assert "stages.0" in reading.renamed[0] or "stem" in reading.renamed[0]
    outside = {n for n in reading.state if n.startswith("classifier.")}
    assert len(outside) == 2  # weight and bias of the classifier have their own place


V2 = {"depths": list(DEPTHS), "hidden_sizes": list(DIMS)}


@pytest.mark.parametrize("second", [False, True])
def test_transformers(tmp_path: Path, second: bool) -> None:
    """transformers' ConvNextModel and ConvNextV2Model: eps 1e-6 inside, 1e-12 in the last norm."""
    if second:
        model: nn.Module = transformers.ConvNextV2Model(transformers.ConvNextV2Config(**V2))
    else:
        model = transformers.ConvNextModel(transformers.ConvNextConfig(**V2))
    state = randomise(model)
    model.save_pretrained(tmp_path)
    with torch.inference_mode():
        expected = model.double()(PIXELS.double()).pooler_output
    for names in (state, load_file(tmp_path / "model.safetensors")):
        reading = read({f"convnext.{name}": tensor for name, tensor in names.items()})
        assert_same(embed(reading, PIXELS), expected)
        assert reading.architecture.name.startswith("convnextv2" if second else "convnext of")


def test_second_version_in_official_names() -> None:
    """facebookresearch/ConvNeXt-V2 models/convnextv2.py: grn of shape (1, 1, 1, D), no layer scale."""
    model = transformers.ConvNextV2Model(transformers.ConvNextV2Config(**V2, layer_norm_eps=1e-6))
    rules = (
        (r"^embeddings\.patch_embeddings", "downsample_layers.0.0"),
        (r"^embeddings\.layernorm", "downsample_layers.0.1"),
        (r"^encoder\.stages\.(\d)\.downsampling_layer", r"downsample_layers.\1"),
        (r"^encoder\.stages\.(\d)\.layers", r"stages.\1"),
        (r"^layernorm", "norm"),
        (r"layernorm", "norm"),
        (r"grn\.weight", "grn.gamma"),
        (r"grn\.bias", "grn.beta"),
    )
    named = {}
    for name, tensor in randomise(model).items():
        for old, new in rules:
            name = re.sub(old, new, name)
        named[name] = tensor
    assert named["stages.0.0.grn.gamma"].shape == (1, 1, 1, 4 * DIMS[0])
    with torch.inference_mode():
        expected = model.double()(PIXELS.double()).pooler_output
    assert_same(embed(read(named), PIXELS), expected)


@pytest.mark.parametrize(
    "options", [{}, {"conv_mlp": True}, {"use_grn": True, "ls_init_value": None}, {"head_norm_first": True}]
)
def test_timm_names(options: dict[str, object]) -> None:
    """What timm saves of its own net, classifier in ``head.fc``."""
    torch.manual_seed(0)
    model = timm.models.convnext.ConvNeXt(num_classes=5, depths=DEPTHS, dims=DIMS, **options).eval()
    reading = read(model.state_dict())
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(PIXELS), pre_logits=True).double()
    assert_same(embed(reading, PIXELS), expected)
    assert reading.renamed == ()


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_base", "convnextv2_atto", "convnextv2_huge"])
def test_published_nets_get_their_name(name: str) -> None:
    with torch.device("meta"):
        state = timm.create_model(name, num_classes=0).state_dict()
    reading = read(state)
    assert reading.architecture.name == name
    assert complete(reading)


def test_size_is_the_users() -> None:
    with torch.device("meta"):
        state = timm.create_model("convnext_atto", num_classes=0).state_dict()
    assert read(state).architecture.preprocess.size == (224, 224)
    assert read(state, size=(96, 128)).architecture.preprocess.size == (96, 128)
    with pytest.raises(Unfit, match="images of 31x64 vanish in its strides; it needs 32 pixels"):
        read(state, size=(31, 64))


def change(state: State, name: str, shape: tuple[int, ...] | None) -> dict[str, Tensor]:
    changed = {other: tensor for other, tensor in state.items() if other != name}
    return changed if shape is None else changed | {name: torch.zeros(shape)}


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("downsample_layers.0.0.weight", (8, 1, 4, 4), "takes 1 channel; sslaudit feeds RGB"),
        ("downsample_layers.0.1.weight", (8, 8, 3, 3), "several convolutions"),
        ("downsample_layers.0.0.weight", None, "'stem.0.weight' is missing"),
        ("stages.4.0.norm.weight", (8,), "5 stages"),
        ("stages.2.0.dwconv.weight", (16,), r"has the shape \(16,\)"),
        ("norm3.weight", (24,), "two of its tensors are both 'head.norm.weight'"),
    ],
)
def test_what_cannot_be_built_is_said(
    torchvision_net: tuple[dict[str, Tensor], Tensor], name: str, shape: tuple[int, ...] | None, message: str
) -> None:
    with pytest.raises(Unfit, match=message):
        read(change(official(torchvision_net[0]), name, shape))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("norm.weight", None),
        ("stages.3.1.gamma", None),
        ("stages.1.1.pwconv2.bias", None),
        ("stages.1.0.attn.weight", (3, 3)),
        ("stages.1.0.pwconv1.weight", (47, 12)),
        ("stages.1.999999999.norm.weight", (12,)),
    ],
)
def test_what_differs_does_not_match(
    torchvision_net: tuple[dict[str, Tensor], Tensor], name: str, shape: tuple[int, ...] | None
) -> None:
    reading = read(change(official(torchvision_net[0]), name, shape))
    assert not complete(reading)
