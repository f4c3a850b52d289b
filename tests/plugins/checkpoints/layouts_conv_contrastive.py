"""Files of SimCLR, MoCo and SimSiam projects."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.plugins.checkpoints.layouts_conv import (
    CHILDREN,
    CIFAR,
    IMAGENET,
    PLAIN,
    WIDTH,
    Features,
    Layout,
    State,
    layout,
    lightning,
    mlp,
    optimizer,
    places,
    resnet,
    shifted,
    shortcuts,
    tensors,
    under,
    wide,
)


@layout
def simclr_sthalles() -> Layout:
    """Source: sthalles/SimCLR simclr.py, models/resnet_simclr.py"""
    model = resnet()
    head = mlp("backbone.fc.", nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, WIDTH))
    content = {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": {**tensors("backbone.", model), **head},
        "optimizer": optimizer(),
    }
    return Layout(
        content=content,
        reference=model,
        branch="state_dict",
        prefix="backbone.",
        ignored=("fc",),
        project="simclr-sthalles",
        **PLAIN,
    )


@layout
def simclr_spijkervet() -> Layout:
    """Source: Spijkervet/SimCLR simclr/simclr.py, model.py"""
    model = resnet()
    head = mlp("projector.", nn.Linear(512, 512, bias=False), nn.ReLU(), nn.Linear(512, 64, bias=False))
    return Layout(
        content={**tensors("encoder.", model), **head},
        reference=model,
        prefix="encoder.",
        ignored=("projector",),
        project="simclr-spijkervet",
        **PLAIN,
    )


@layout
def simclr_spijkervet_lightning() -> Layout:
    """The encoder is a child of the Lightning module and of its model: each tensor stands there twice.

    Source: Spijkervet/SimCLR main_pl.py
    """
    model = resnet()
    head = mlp("model.projector.", nn.Linear(512, 512, bias=False), nn.ReLU(), nn.Linear(512, 64, bias=False))
    state = {**tensors("encoder.", model), **tensors("model.encoder.", model), **head}
    return Layout(
        content=lightning(state),
        reference=model,
        branch="state_dict",
        prefix="encoder.",
        project="simclr-spijkervet",
        **PLAIN,
    )


def _google(width: int) -> Layout:
    model = wide(width)
    state = model.state_dict()
    ordered = dict(sorted(state.items(), key=lambda pair: (pair[0].split(".")[:2], "downs" not in pair[0])))
    assert list(ordered) != list(state)
    name = "resnet of bottleneck blocks 1-1-1-1" + (f"w{width}" if width > 1 else "")
    head = under("fc.", nn.Linear(2048 * width, 10).state_dict())
    return Layout(
        content={"state_dict": {**ordered, **head}},
        reference=model,
        branch="state_dict",
        prefix="",
        ignored=("fc",),
        name=name,
        project="simclr-converter",
        size=256,
        **PLAIN,
    )


@layout
def simclr_google_1x() -> Layout:
    """In each block the shortcut stands before the convolutions: order is no help.

    Source: tonylins/simclr-converter convert.py, resnet_wider.py
    """
    return _google(1)


@layout
def simclr_google_2x() -> Layout:
    """Source: tonylins/simclr-converter convert.py, resnet_wider.py"""
    return _google(2)


@layout
def simclrv2_converted() -> Layout:
    """The networks without selective kernels are plain ResNets under other names.

    Source: Separius/SimCLRv2-Pytorch convert.py, resnet.py
    """
    model = wide(1)
    inner = {"conv1": "net.0", "bn1": "net.1.0", "conv2": "net.2", "bn2": "net.3.0", "conv3": "net.4"}
    inner |= {"bn3": "net.5.0", "downsample.0": "projection.shortcut", "downsample.1": "projection.bn.0"}
    state = {}
    for name, tensor in model.state_dict().items():
        part, leaf = name.rsplit(".", 1)
        if part.startswith("layer"):
            stage, block, *rest = part.split(".")
            state[f"net.{stage[-1]}.blocks.{block}.{inner['.'.join(rest)]}.{leaf}"] = tensor
        else:
            state[f"net.0.{'0' if part == 'conv1' else '1.0'}.{leaf}"] = tensor
    head = nn.ModuleList([nn.Linear(2048, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU()])
    return Layout(
        content={
            "resnet": {**state, **under("fc.", nn.Linear(2048, 10).state_dict())},
            "head": tensors("layers.", head),
        },
        reference=model,
        branch="resnet",
        prefix="",
        ignored=("fc", "head"),
        name="resnet of bottleneck blocks 1-1-1-1",
        project="simclrv2",
        **PLAIN,
    )


@layout
def supcontrast() -> Layout:
    """DataParallel wraps the encoder alone; ``opt`` is a Namespace.

    Source: HobbitLong/SupContrast util.py, main_supcon.py, networks/resnet_big.py
    """
    model = resnet(cifar=True)
    head = mlp("head.", nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, WIDTH))
    content = {
        "opt": Namespace(model="resnet18", method="SimCLR", dataset="cifar10", temp=0.5),
        "model": {**under("encoder.module.", shortcuts(model.state_dict())), **head},
        "optimizer": optimizer(),
        "epoch": 1000,
    }
    return Layout(
        content=content,
        reference=Features(model),
        branch="model",
        prefix="encoder.module.",
        ignored=("head",),
        project="supcontrast",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        **CIFAR,
    )


@layout
def simclr_leftthomas() -> Layout:
    """The max-pool is left out of the list, so the stages stand at 3 to 6; thop leaves its counts.

    Source: leftthomas/SimCLR model.py, main.py; Lyken17/pytorch-OpCounter issue 82
    """
    model = resnet(cifar=True)
    order = [child for child in CHILDREN if child != "maxpool"]
    head = mlp("g.", nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, WIDTH))
    counts = {f"{part}total_ops": torch.zeros(1) for part in ("", "f.", "f.0.", "f.3.0.conv1.")}
    return Layout(
        content={**under("f.", places(model.state_dict(), *order)), **head, **counts},
        reference=model,
        prefix="f.",
        ignored=("g",),
        project="simclr-leftthomas",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
        **CIFAR,
    )


# --- MoCo, SimSiam


def _moco(head: Callable[[str], State], project: str) -> Layout:
    model = resnet()
    state = {
        **tensors("module.encoder_q.", model),
        **head("module.encoder_q.fc."),
        **tensors("module.encoder_k.", shifted(model)),
        **head("module.encoder_k.fc."),
        "module.queue": torch.randn(WIDTH, 64),
        "module.queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    return Layout(
        content={"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": optimizer()},
        reference=model,
        branch="state_dict",
        prefix="module.encoder_q.",
        ignored=("queue", "fc"),
        project=project,
        **IMAGENET,
    )


@layout
def moco_v1() -> Layout:
    """Source: facebookresearch/moco moco/builder.py"""
    return _moco(lambda prefix: tensors(prefix, nn.Linear(512, WIDTH)), "mocov1")


@layout
def moco_v2() -> Layout:
    """Source: facebookresearch/moco moco/builder.py"""
    return _moco(lambda prefix: mlp(prefix, nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, WIDTH)), "mocov2")


@layout
def moco_v3_resnet() -> Layout:
    """Source: facebookresearch/moco-v3 moco/builder.py, main_moco.py"""
    model = resnet()

    def head(prefix: str) -> State:
        last = nn.BatchNorm1d(64, affine=False)
        return mlp(
            prefix,
            nn.Linear(512, 64, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Linear(64, 64, bias=False),
            last,
        )

    predictor = (nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 64, bias=False))
    state = {
        **tensors("module.base_encoder.", model),
        **head("module.base_encoder.fc."),
        **tensors("module.momentum_encoder.", shifted(model)),
        **head("module.momentum_encoder.fc."),
        **mlp("module.predictor.", *predictor),
    }
    content = {
        "epoch": 100,
        "arch": "resnet18",
        "state_dict": state,
        "optimizer": optimizer(),
        "scaler": {"scale": 65536.0, "growth_tracker": 0},
    }
    return Layout(
        content=content,
        reference=model,
        branch="state_dict",
        prefix="module.base_encoder.",
        ignored=("predictor", "fc"),
        project="mocov3",
        **IMAGENET,
    )


@layout
def simsiam() -> Layout:
    """Source: facebookresearch/simsiam simsiam/builder.py, main_simsiam.py"""
    model = resnet()
    layers = []
    for _ in range(2):
        layers += [nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU()]
    projector = mlp("module.encoder.fc.", *layers, nn.Linear(512, 512), nn.BatchNorm1d(512, affine=False))
    predictor = (nn.Linear(512, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 512))
    state = {**tensors("module.encoder.", model), **projector, **mlp("module.predictor.", *predictor)}
    return Layout(
        content={"epoch": 100, "arch": "resnet18", "state_dict": state, "optimizer": optimizer()},
        reference=model,
        branch="state_dict",
        prefix="module.encoder.",
        ignored=("predictor", "fc"),
        project="simsiam",
        **IMAGENET,
    )


def _patrickhua(state: State, reference: nn.Module, **more: Any) -> Layout:
    projector = nn.Module()
    for i in (1, 2):
        projector.add_module(f"layer{i}", nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU()))
    projector.layer3 = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512))
    predictor = nn.Module()
    predictor.layer1 = nn.Sequential(nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU())
    predictor.layer2 = nn.Linear(64, 512)
    found = {
        **under("backbone.", state),
        **tensors("projector.", projector),
        **under("encoder.0.", state),
        **tensors("encoder.1.", projector),
        **tensors("predictor.", predictor),
    }
    return Layout(
        content={"epoch": 800, "state_dict": found},
        reference=reference,
        branch="state_dict",
        prefix="backbone.",
        ignored=("projector", "predictor"),
        project="simsiam-patrickhua",
        **IMAGENET,
        **more,
    )


@layout
def simsiam_patrickhua() -> Layout:
    """Each backbone tensor stands there twice, and the projector has a ``layer1`` of its own.

    Source: PatrickHua/SimSiam models/simsiam.py, models/backbones/cifar_resnet_1.py
    """
    model = resnet(cifar=True)
    return _patrickhua(model.state_dict(), model, **CIFAR)


@layout
def simsiam_patrickhua_variant2() -> Layout:
    """Source: PatrickHua/SimSiam models/simsiam.py, models/backbones/cifar_resnet_2.py"""
    model = resnet(cifar=True)
    return _patrickhua(shortcuts(model.state_dict()), Features(model), **CIFAR)
