"""Files of frameworks: VISSL, MMSelfSup, solo-learn, lightly, Lightning Bolts, timm; and of wrappers."""

from argparse import Namespace

import torch
from torch import Tensor, nn

from tests.plugins.checkpoints.layouts_conv import (
    CHILDREN,
    CIFAR,
    IMAGENET,
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
)


@layout
def vissl_moco() -> Layout:
    """The momentum encoder stands in the state of the loss.

    Source: facebookresearch/vissl vissl/hooks/log_hooks.py, vissl/models/trunks/resnext.py,
    vissl/losses/moco_loss.py
    """
    model = resnet()
    head = mlp("0.clf.", nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, WIDTH))
    loss = {
        "queue": torch.randn(WIDTH, 64),
        "queue_ptr": torch.zeros(1, dtype=torch.long),
        **tensors("moco_encoder.trunk._feature_blocks.", shifted(model)),
        **under("moco_encoder.heads.", head),
    }
    trunk = tensors("_feature_blocks.", model)
    base = {"model": {"trunk": trunk, "heads": head}, "meta": {"trunk": {}, "heads": []}}
    content = {
        "phase_idx": 200,
        "iteration": 1_000,
        "loss": loss,
        "iteration_num": 5,
        "train_phase_idx": 199,
        "classy_state_dict": {"train": True, "base_model": base, "optimizer": optimizer(), "meters": []},
        "type": "consolidated",
    }
    return Layout(
        content=content,
        reference=model,
        branch="classy_state_dict.base_model.model.trunk",
        prefix="_feature_blocks.",
        ignored=("loss", "heads"),
        project="vissl",
        **IMAGENET,
    )


def _mm(state: State, **more: object) -> dict[str, object]:
    meta = {"mmselfsup_version": "1.0.0", "CLASSES": None, "epoch": 200, "iter": 1_000}
    return {"meta": meta, "state_dict": state, **more}


@layout
def mmselfsup_moco() -> Layout:
    """The key encoder is an averaged ``nn.Sequential(backbone, neck)`` with a counter of its own.

    Source: open-mmlab/mmselfsup mmselfsup/models/algorithms/moco.py, models/utils/ema.py; the preprocessor
    as in open-mmlab/mmpose issue 2363
    """
    model = resnet()

    def neck(prefix: str) -> State:
        return mlp(f"{prefix}mlp.", nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, WIDTH))

    state = {
        "queue": torch.randn(WIDTH, 64),
        "queue_ptr": torch.zeros(1, dtype=torch.long),
        "data_preprocessor.mean": torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1),
        "data_preprocessor.std": torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1),
        **tensors("backbone.", model),
        **neck("neck."),
        "encoder_k.steps": torch.tensor(1_000),
        **tensors("encoder_k.module.0.", shifted(model)),
        **neck("encoder_k.module.1."),
    }
    message_hub = {"log_scalars": {}, "runtime_info": {"epoch": 200}, "resumed_keys": {}}
    return Layout(
        content=_mm(state, message_hub=message_hub, optimizer=optimizer(), param_schedulers=[]),
        reference=model,
        branch="state_dict",
        prefix="backbone.",
        ignored=("neck", "queue"),
        project="mmselfsup",
        **IMAGENET,
    )


@layout
def openselfsup_moco() -> Layout:
    """The backbone is a child of the model and of its query encoder: each tensor stands there twice.

    Source: open-mmlab/OpenSelfSup openselfsup/models/moco.py, as in open-mmlab/mmselfsup issue 74
    """
    model = resnet()
    neck = (nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, WIDTH))
    state = {
        "queue": torch.randn(WIDTH, 64),
        "queue_ptr": torch.zeros(1, dtype=torch.long),
        **tensors("encoder_q.0.", model),
        **mlp("encoder_q.1.mlp.", *neck),
        **tensors("encoder_k.0.", shifted(model)),
        **mlp("encoder_k.1.mlp.", *neck),
        **tensors("backbone.", model),
    }
    return Layout(
        content=_mm(state, optimizer=optimizer()),
        reference=model,
        branch="state_dict",
        prefix="backbone.",
        ignored=("queue",),
        project="openselfsup",
        **IMAGENET,
    )


@layout
def mmselfsup_extracted() -> Layout:
    """Source: open-mmlab/mmselfsup tools/model_converters/extract_backbone_weights.py"""
    model = resnet()
    content = {"state_dict": model.state_dict(), "author": "MMSelfSup"}
    return Layout(content=content, reference=model, branch="state_dict", prefix="")


@layout
def mmselfsup_rotation() -> Layout:
    """Four rotations are four classes.

    Source: open-mmlab/mmselfsup mmselfsup/models/algorithms/rotation_pred.py, models/heads/cls_head.py
    """
    model = resnet()
    state = {**tensors("backbone.", model), **tensors("head.fc_cls.", nn.Linear(512, 4))}
    return Layout(
        content=_mm(state), reference=model, branch="state_dict", prefix="backbone.", ignored=("head",)
    )


def _solo(model: nn.Module, name: str) -> State:
    layers = (nn.Linear(512, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH))
    return {
        **tensors(f"{name}.", model),
        **tensors("classifier.", nn.Linear(512, 10)),
        **tensors(f"momentum_{name}.", shifted(model)),
        **mlp("projector.", *layers),
        **mlp("momentum_projector.", *layers),
        **mlp("predictor.", nn.Linear(WIDTH, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH)),
    }


@layout
def sololearn() -> Layout:
    """Source: vturrisi/solo-learn solo/methods/base.py, solo/methods/byol.py"""
    model = resnet()
    return Layout(
        content=lightning(_solo(model, "backbone")),
        reference=model,
        branch="state_dict",
        prefix="backbone.",
        ignored=("projector", "predictor", "classifier"),
        project="sololearn",
        **IMAGENET,
    )


@layout
def sololearn_cifar() -> Layout:
    """The 3x3 stem pads by 2 pixels: maps of 34 pixels come from images of 32.

    Source: vturrisi/solo-learn solo/methods/base.py, main_linear.py
    """
    model = resnet(cifar=True, padding=2)
    return Layout(
        content=lightning(_solo(model, "backbone")),
        reference=model,
        branch="state_dict",
        prefix="backbone.",
        ignored=("projector", "predictor", "classifier"),
        project="sololearn",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.247, 0.243, 0.261),
        said="pad",
        **CIFAR,
    )


@layout
def sololearn_old() -> Layout:
    """Older versions say ``encoder``.

    Source: vturrisi/solo-learn main_linear.py
    """
    model = resnet()
    return Layout(
        content=lightning(_solo(model, "encoder")),
        reference=model,
        branch="state_dict",
        prefix="encoder.",
        project="sololearn",
        **IMAGENET,
    )


def _lightly(backbone: State, momentum: State) -> dict[str, object]:
    def head(prefix: str) -> State:
        layers = (nn.Linear(512, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH))
        return mlp(f"{prefix}layers.", *layers)

    return lightning(
        {
            **under("backbone.", backbone),
            **head("projection_head."),
            **under("backbone_momentum.", momentum),
            **head("projection_head_momentum."),
            **head("prediction_head."),
        }
    )


@layout
def lightly_moco() -> Layout:
    """Source: lightly-ai/lightly examples/pytorch_lightning/moco.py, lightly/models/modules/heads.py"""
    model = resnet()
    return Layout(
        content=_lightly(
            places(model.state_dict(), *CHILDREN), places(shifted(model).state_dict(), *CHILDREN)
        ),
        reference=model,
        branch="state_dict",
        prefix="backbone.",
        ignored=("projection_head", "prediction_head"),
        project="lightly",
        **IMAGENET,
    )


@layout
def lightly_generator() -> Layout:
    """lightly's network calls ``F.relu`` in ``forward``; its children in ``nn.Sequential`` lose the first.

    Source: lightly-ai/lightly lightly/models/resnet.py, docs/source/getting_started/benchmarks/
    cifar10_benchmark.py
    """
    model = resnet(cifar=True)
    order = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")

    def named(network: nn.Module) -> State:
        return places(shortcuts(network.state_dict()), *order)

    return Layout(
        content=_lightly(named(model), named(shifted(model))),
        reference=Features(model, stem_relu=False),
        branch="state_dict",
        prefix="backbone.",
        ignored=("projection_head",),
        project="lightly-generator",
        said="ReLU",
        **IMAGENET,
        **CIFAR,
    )


@layout
def bolts_simclr() -> Layout:
    """Source: Lightning-Universe/lightning-bolts src/pl_bolts/models/self_supervised/simclr"""
    model = resnet()
    layers = (nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, WIDTH, bias=False))
    state = {**tensors("encoder.", resnet(fc=True)), **mlp("projection.model.", *layers)}
    hyper = {"dataset": "imagenet2012", "arch": "resnet18", "first_conv": True, "maxpool1": True}
    return Layout(
        content=lightning(state, hyper_parameters=hyper, hparams_name="kwargs"),
        reference=model,
        branch="state_dict",
        prefix="encoder.",
        ignored=("projection",),
        project="bolts-simclr",
        **IMAGENET,
    )


@layout
def bolts_byol() -> Layout:
    """Source: Lightning-Universe/lightning-bolts src/pl_bolts/models/self_supervised/byol"""
    model = resnet()
    layers = (nn.Linear(512, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH))
    state = {
        **tensors("online_network.encoder.", model),
        **mlp("online_network.projector.model.", *layers),
        **tensors("target_network.encoder.", shifted(model)),
        **mlp("target_network.projector.model.", *layers),
        **mlp("predictor.model.", nn.Linear(WIDTH, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, WIDTH)),
    }
    return Layout(
        content=lightning(state, hyper_parameters={"learning_rate": 0.2}),
        reference=model,
        branch="state_dict",
        prefix="online_network.encoder.",
        ignored=("predictor",),
        project="bolts-siamese",
        **IMAGENET,
    )


@layout
def timm_with_ema() -> Layout:
    """timm reads the averaged weights when there are any.

    Source: huggingface/pytorch-image-models timm/utils/checkpoint_saver.py, timm/models/_helpers.py
    """
    model = resnet()
    content = {
        "epoch": 90,
        "arch": "resnet18",
        "optimizer": optimizer(),
        "version": 2,
        "args": Namespace(model="resnet18", img_size=None),
        "state_dict": {**shifted(model).state_dict(), **tensors("fc.", nn.Linear(512, 10))},
        "state_dict_ema": {**model.state_dict(), **tensors("fc.", nn.Linear(512, 10))},
        "metric": 71.2,
    }
    return Layout(
        content=content,
        reference=model,
        branch="state_dict_ema",
        prefix="",
        ignored=("fc",),
        project="timm",
        **IMAGENET,
    )


def _wrapped(names: str, prefix: str) -> Layout:
    model = resnet()
    state: dict[str, Tensor] = {
        names.format(*name.split(".", 1)): tensor for name, tensor in model.state_dict().items()
    }
    head = mlp(names.partition("{")[0].replace("encoder.", "") + "projector.", nn.Linear(512, WIDTH))
    content = lightning({**state, **head})
    return Layout(
        content=content, reference=model, branch="state_dict", prefix=prefix, ignored=("projector",)
    )


@layout
def compiled_inside_lightning() -> Layout:
    """Source: pytorch/pytorch torch/_dynamo/eval_frame.py (OptimizedModule)"""
    return _wrapped("backbone._orig_mod.{}.{}", "backbone._orig_mod.")


@layout
def data_parallel_twice() -> Layout:
    """Source: pytorch/pytorch torch/nn/parallel/distributed.py, data_parallel.py"""
    return _wrapped("module.module.encoder.{}.{}", "module.module.encoder.")


@layout
def fully_sharded_with_wrappers_inside() -> Layout:
    """Each child is wrapped, too, so that the wrapper stands in the middle of the names.

    Source: pytorch/pytorch torch/distributed/fsdp/fully_sharded_data_parallel.py
    """
    return _wrapped(
        "_fsdp_wrapped_module.encoder._fsdp_wrapped_module.{}._fsdp_wrapped_module.{}", "encoder."
    )
