"""Files as real convolutional SSL projects write them: features equal the project's own forward."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from sslaudit import load_encoder
from sslaudit.errors import WeightsMismatch
from sslaudit_checkpoints.conventions import CONVENTIONS, METHOD_CONVENTIONS
from sslaudit_checkpoints.projects import PROJECTS, recognise
from sslaudit_checkpoints.tensors import flatten, keys
from tests.plugins.checkpoints import (
    layouts_conv_contrastive,
    layouts_conv_distilled,
    layouts_conv_frameworks,
    layouts_conv_pretext,
)
from tests.plugins.checkpoints.layouts_conv import LAYOUTS, mlp, shifted, tensors, under, wide

WRITTEN_BY = (layouts_conv_contrastive, layouts_conv_distilled, layouts_conv_frameworks, layouts_conv_pretext)


def images(pixels: int) -> torch.Tensor:
    return torch.randn(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))


def save(path: Path, content: object) -> str:
    torch.save(content, path)
    return str(path)


def small(path: str, name: str, key: str = "") -> str:
    """The tests' own nets have depths that nobody published, which must be said."""
    depth = re.search(r"blocks ([\d-]+)", name)
    return f"file{f',depth={depth[1]}' if depth else ''}{key}:{path}"


def paths(content: object) -> list[str]:
    return [*(one.path for one in flatten(content).values()), *keys(content)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_features_are_those_of_the_projects_own_forward(tmp_path: Path, name: str) -> None:
    layout = LAYOUTS[name]()
    encoder = load_encoder(small(save(tmp_path / "checkpoint.pth", layout.content), layout.name))
    batch = images(layout.pixels)
    with torch.inference_mode():
        expected = layout.reference.eval()(batch)
        torch.testing.assert_close(encoder.embed(batch), expected, rtol=1e-5, atol=1e-5)
    assert encoder.load.matched == encoder.load.expected
    assert (encoder.dim, encoder.name) == (expected.shape[1], layout.name)
    assert (encoder.load.branch, encoder.load.prefix) == (layout.branch, layout.prefix)
    ignored = " ".join(encoder.load.ignored)
    assert not [word for word in layout.ignored if word not in ignored], encoder.load.ignored
    assert layout.said in " ".join(encoder.load.assumptions)
    project = recognise(paths(layout.content))
    assert (project.name if project else None) == layout.project
    if project is None:
        assert encoder.preprocess.source.startswith("assumed")
        return
    assert encoder.preprocess.mean == pytest.approx(layout.mean, abs=1e-6)
    assert encoder.preprocess.std == pytest.approx(layout.std, abs=1e-6)
    if layout.size is not None:
        assert encoder.preprocess.size == (layout.size, layout.size)
    if "data_preprocessor" not in encoder.preprocess.source:
        assert CONVENTIONS[project.convention].title in encoder.preprocess.source


def test_every_network_here_tells_its_branches_apart() -> None:
    """The student, key and target networks of the files differ from the ones that are evaluated."""
    reference = LAYOUTS["moco_v2"]().reference
    batch = images(64)
    with torch.inference_mode():
        assert (shifted(reference)(batch) - reference(batch)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "key", "prefix"),
    [
        ("moco_v2", "encoder_k", "module.encoder_k."),
        ("dino_resnet", "student", "module.backbone."),
        ("byol_sthalles", "target_network_state_dict", "encoder."),
        ("byol_lucidrains", "target_encoder", "target_encoder.net."),
        ("mmselfsup_moco", "encoder_k", "encoder_k.module.0."),
        ("sololearn", "momentum_backbone", "momentum_backbone."),
        ("vissl_moco", "loss", "moco_encoder.trunk._feature_blocks."),
        ("timm_with_ema", "state_dict", ""),
    ],
)
def test_the_other_network_is_named_and_can_be_taken(
    tmp_path: Path, name: str, key: str, prefix: str
) -> None:
    layout = LAYOUTS[name]()
    path = save(tmp_path / "checkpoint.pth", layout.content)
    assert any(f"key={key}" in other for other in load_encoder(small(path, layout.name)).load.others)
    encoder = load_encoder(small(path, layout.name, f",key={key}"))
    batch = images(64)
    with torch.inference_mode():
        expected = shifted(layout.reference)(batch)
        torch.testing.assert_close(encoder.embed(batch), expected, rtol=1e-5, atol=1e-5)
    assert encoder.load.prefix == prefix


@pytest.mark.parametrize(
    "name",
    ["simclr_spijkervet_lightning", "simsiam_patrickhua", "byol_lucidrains", "openselfsup_moco"],
)
def test_the_same_tensors_under_two_names_are_one_network(tmp_path: Path, name: str) -> None:
    layout = LAYOUTS[name]()
    path = save(tmp_path / "checkpoint.pth", layout.content)
    others = load_encoder(small(path, layout.name)).load.others
    rest = {"byol_lucidrains": "target_encoder", "openselfsup_moco": "encoder_k"}.get(name)
    assert len(others) == (1 if rest else 0)
    assert all(rest in other for other in others)


def test_each_project_has_a_convention_and_no_file_is_taken_for_anothers() -> None:
    assert {project.convention for project in PROJECTS} <= CONVENTIONS.keys()
    assert {project.cifar_convention for project in PROJECTS} - {""} <= CONVENTIONS.keys()
    assert len({project.name for project in PROJECTS}) == len(PROJECTS)
    assert recognise(["conv1.weight", "layer1.0.conv1.weight", "fc.weight"]) is None
    assert recognise([]) is None


def test_conventions_are_the_projects_numbers() -> None:
    assert CONVENTIONS["swav"].std == (0.228, 0.224, 0.225)
    assert CONVENTIONS["dino"].interpolation == "bicubic"
    assert METHOD_CONVENTIONS["simclr"].mean == (0, 0, 0)
    assert METHOD_CONVENTIONS["bigan"].std == (0.5, 0.5, 0.5)
    converted = CONVENTIONS["simclr-converter"].preprocess((224, 224), 0.875)
    assert (converted.size, converted.crop, converted.std) == ((256, 256), 1.0, (1.0, 1.0, 1.0))
    moco = CONVENTIONS["moco"].preprocess((96, 96), 1.0)
    assert (moco.size, moco.crop) == ((96, 96), 1.0)
    assert moco.source == "convention of MoCo (facebookresearch/moco main_lincls.py)"
    assert CONVENTIONS["sololearn-cifar"].std == (0.247, 0.243, 0.261)
    assert CONVENTIONS["rotnet-cifar"].mean == pytest.approx((0.4914, 0.4824, 0.4467), abs=1e-4)


def test_a_file_without_counters_says_what_it_cannot_know(tmp_path: Path) -> None:
    """Saved again in another order, nothing tells TensorFlow's padding from torchvision's any more."""
    layout = layouts_conv_distilled.byol_deepmind()
    content = dict(sorted(layout.content.items()))
    encoder = load_encoder(small(save(tmp_path / "resnet50.pth", content), layout.name))
    batch = images(64)
    with torch.inference_mode():
        assert (encoder.embed(batch) - layout.reference.eval()(batch)).abs().max() > 1e-3
    assert any("num_batches_tracked" in one and "pad" in one for one in encoder.load.assumptions)


def test_solo_learn_pads_only_its_cifar_stem(tmp_path: Path) -> None:
    layout = LAYOUTS["sololearn"]()
    ref = small(save(tmp_path / "last.ckpt", layout.content), layout.name)
    assert "pad" not in " ".join(load_encoder(ref).load.assumptions)


def conv_stack(prefix: str, *widths: int) -> dict[str, torch.Tensor]:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths):
        layers += [nn.Conv2d(inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]
    return mlp(prefix, *layers, nn.Conv2d(widths[-1], 10, 1))


def wasserstein_bigan() -> dict[str, torch.Tensor]:
    """Source: fmu2/Wasserstein-BiGAN wali_cifar10.py, util.py"""
    generator = (nn.ConvTranspose2d(10, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return {
        **conv_stack("E.mapping.", 3, 8, 16, 32),
        **mlp("G.mapping.", *generator, nn.ConvTranspose2d(16, 3, 4, 2, 1, bias=False)),
        **mlp("C.x_net.", nn.Conv2d(3, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 16, 4, 2, 1)),
        **mlp("C.z_net.", nn.Conv2d(10, 16, 1), nn.LeakyReLU(0.2)),
        **mlp("C.joint_net.", nn.Conv2d(32, 1, 1)),
    }


def ali_encoder() -> dict[str, torch.Tensor]:
    """Source: 9310gaurav/ali-pytorch main.py (netE_epoch_N.pth), model.py"""
    rest = {f"main{i}.": (nn.Conv2d(10, 10, 1, bias=False), nn.BatchNorm2d(10)) for i in (2, 3)}
    state = {**conv_stack("main1.", 3, 8, 16, 32), **mlp("main4.", nn.Conv2d(10, 10, 1))}
    for prefix, layers in rest.items():
        state |= mlp(prefix, *layers)
    return state


def contrastive_multiview() -> dict[str, object]:
    """Two networks, on the L and on the ab channels of Lab.

    Source: HobbitLong/PyContrast pycontrast/networks/build_backbone.py (CMCSingleHead)
    """
    light, colour = wide(1), wide(1)
    light.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    colour.conv1 = nn.Conv2d(2, 64, 7, 2, 3, bias=False)
    state = {**tensors("module.encoder1.", light), **tensors("module.encoder2.", colour)}
    return {"model": state, "contrast": {"memory_1": torch.randn(8, 16)}, "epoch": 200}


def selective_kernels() -> dict[str, object]:
    """Source: Separius/SimCLRv2-Pytorch resnet.py (sk1)"""
    stem = {f"net.0.{i}.weight": torch.zeros(32, 3 if i == 0 else 32, 3, 3) for i in (0, 2, 4)}
    block = {
        "projection.shortcut.2.weight": torch.zeros(256, 64, 1, 1),
        "net.0.weight": torch.zeros(64, 64, 1, 1),
        "net.2.main_conv.0.weight": torch.zeros(128, 64, 3, 3),
        "net.2.mixing_conv.0.weight": torch.zeros(32, 64, 1, 1),
        "net.3.weight": torch.zeros(256, 64, 1, 1),
    }
    head = {"layers.0.weight": torch.zeros(8, 8)}
    return {"resnet": {**stem, **under("net.1.blocks.0.", block)}, "head": head}


def split_norms() -> dict[str, object]:
    """Eight statistics for each channel.

    Source: lightly-ai/lightly lightly/models/batchnorm.py (SplitBatchNorm)
    """
    content = dict(LAYOUTS["lightly_generator"]().content)
    state = {n: t.repeat(8) if ".running_" in n else t for n, t in content["state_dict"].items()}
    return {**content, "state_dict": state}


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (wasserstein_bigan, "a BiGAN: encoder 'E.mapping'"),
        (ali_encoder, "the encoder of an ALI"),
        (contrastive_multiview, "two networks"),
        (selective_kernels, "selective kernels"),
        (split_norms, "running_mean"),
    ],
)
def test_networks_that_their_tensors_do_not_decide_are_refused_by_name(
    tmp_path: Path, build, said: str
) -> None:
    path = save(tmp_path / "checkpoint.pth", build())
    with pytest.raises(WeightsMismatch) as caught:
        load_encoder(small(path, "blocks 2-1-1-1"))
    assert said in str(caught.value)
    assert path in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10
