"""How projects name the tensors of a ResNet, and which ResNet the shapes say.

====================  ===================================  ======================================
dialect               anchor                               brought to torchvision's names by
====================  ===================================  ======================================
torchvision, timm     ``layer1.0.conv1.weight``            ``shortcut`` -> ``downsample`` if met
nn.Sequential         ``4.0.conv1.weight``                 position: stem, norm, four stages
SimCLR v2 converted   ``net.1.blocks.0.net.0.weight``      stage and position inside each block
====================  ===================================  ======================================
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from sslaudit_checkpoints.architectures.base import Dialect, Hints, Reading, State, Unfit
from sslaudit_checkpoints.architectures.resnet import Plan, architecture, named

_PUBLISHED_WIDTHS = (1, 2, 3, 4, 5)
"""Multiples of the usual width in SimCLR, BYOL and SwAV, all with bottleneck blocks."""

_CONVERTED = (
    "padding as in torchvision: the file has no num_batches_tracked, so it was converted or is older than "
    "torch 0.4.1, and networks of TensorFlow and JAX pad their strided layers otherwise (padding=same)"
)

_INDEX = re.compile(r"(\d+)\.(.+)")


def infer(state: State, hints: Hints) -> Plan:
    """The ResNet whose shapes are those of ``state``, in torchvision's names. Raises ``Unfit``."""
    deep = "conv1.0.weight" in state
    stem = state.get("conv1.0.weight" if deep else "conv1.weight")
    # Without the stem the usual one is expected, so that it is found missing.
    kernel, channels = (7, 3) if stem is None or stem.ndim != 4 else (stem.shape[-1], stem.shape[1])
    bottleneck = any(re.match(r"layer1\.\d+\.conv3\.weight", name) for name in state)
    inner, _ = _widths(state, "conv1")
    _, grouped = _widths(state, "conv2")
    planes = _widths(state, "conv3")[0] // 4 if bottleneck else _widths(state, "conv2")[0]
    groups = max(1, inner // grouped) if bottleneck else 1
    layers = tuple(_blocks(state, stage) for stage in (1, 2, 3, 4))
    if not layers[3]:
        raise Unfit("it is a ResNet of three stages (layer1 to layer3); those with four are known.")
    if kernel not in (3, 7) and not deep:
        raise Unfit(f"its first convolution is {kernel}x{kernel}; 7x7 and 3x3 stems are known.")
    if channels not in (1, 3):
        raise Unfit(f"its first convolution takes {channels} channels; sslaudit feeds 3 (RGB) or 1 (gray).")
    cifar_stem = kernel == 3 and not deep
    plan = Plan(
        bottleneck=bottleneck,
        layers=layers,
        groups=groups,
        base_width=64 * inner // (groups * planes) if bottleneck and planes else 64,
        width=max(1, planes // 64),
        channels=channels,
        cifar_stem=cifar_stem,
        max_pool=not cifar_stem if hints.max_pool is None else hints.max_pool,
        stem_padding=2 if cifar_stem and hints.project == "sololearn" else 1,
        deep_stem=deep,
        attention="layer1.0.se.fc1.weight" in state,
        same_padding=hints.same_padding or hints.project == "byol-convert",
    )
    _refuse_unknown_width(plan, hints)
    return plan


def _refuse_unknown_width(plan: Plan, hints: Hints) -> None:
    if plan.width in (_PUBLISHED_WIDTHS if plan.bottleneck else (1,)):
        return
    stated = named(hints.arch) if hints.arch else None
    if stated is not None and stated.width == plan.width:
        return
    usual = plan.name.removesuffix(f"w{plan.width}")
    raise Unfit(
        f"other shape: conv1.weight has {64 * plan.width} channels, {usual} has 64. "
        f"All widths are {plan.width} times those of {usual}, which no known project publishes.\n"
        f"If that is meant, say so: arch={plan.name}"
    )


def _read(state: State, hints: Hints) -> Reading:
    names = {name: re.sub(r"\.shortcut\.", ".downsample.", name) for name in state}
    renamed = {names[name]: tensor for name, tensor in state.items()}
    rules = ("'shortcut' is 'downsample' here",) if any(a != b for a, b in names.items()) else ()
    plan = infer(renamed, hints)
    made = architecture(plan)
    if not plan.same_padding and not any(name.endswith("num_batches_tracked") for name in state):
        made = replace(made, assumptions=(*made.assumptions, _CONVERTED))
    return Reading(architecture=made, state=renamed, renamed=rules)


def _read_positions(state: State, hints: Hints) -> Reading:
    """Names by position in an ``nn.Sequential`` of the children: stem, norm, (ReLU, pool,) four stages."""
    stages = sorted({int(m[1]) for name in state if (m := re.match(r"(\d+)\.0\.conv1\.weight$", name))})
    before = {
        int(m[1]): tensor
        for name, tensor in state.items()
        if (m := re.fullmatch(r"(\d+)\.weight", name)) and stages and int(m[1]) < stages[0]
    }
    convs = [place for place, tensor in before.items() if tensor.ndim == 4]
    norms = [place for place, tensor in before.items() if tensor.ndim == 1 and [place] > convs]
    if len(stages) != 4 or len(convs) != 1 or len(norms) != 1:
        raise Unfit(
            f"its names are positions, but {len(convs)} convolutions and {len(norms)} norms before "
            f"{len(stages)} stages are no ResNet (1, 1 and 4)."
        )
    _refuse_work_in_front(state, convs[0])
    places = {convs[0]: "conv1", norms[0]: "bn1"} | {p: f"layer{i}" for i, p in enumerate(stages, 1)}
    renamed = {}
    for name, tensor in state.items():
        match = _INDEX.fullmatch(name)
        known = match is not None and int(match[1]) in places
        renamed[f"{places[int(match[1])]}.{match[2]}" if match and known else name] = tensor
    reading = _read(renamed, hints)
    between = stages[0] - norms[0] - 1
    plan = replace(infer(reading.state, hints), stem_relu=between > 0)
    if between < 2 and not plan.cifar_stem:
        raise Unfit(
            f"its names are positions, and {between} layers stand between the first norm and the first "
            "stage; a 7x7 stem needs a ReLU and a max-pool there."
        )
    made = architecture(plan)
    said = ", ".join(f"{place} is {name}" for place, name in places.items())
    return Reading(
        architecture=replace(made, assumptions=(*made.assumptions, *_unseen(convs[0], between, plan))),
        state=reading.state,
        renamed=(f"names are positions in nn.Sequential: {said}", *reading.renamed),
    )


def _refuse_work_in_front(state: State, first: int) -> None:
    """A norm before the stem is left out only where it leaves its input as it is."""
    still = {"running_mean": 0.0, "running_var": 1.0, "weight": 1.0, "bias": 0.0}
    for name, tensor in state.items():
        match = re.fullmatch(r"(\d+)\.(\w+)", name)
        if match is None or int(match[1]) >= first or match[2] == "num_batches_tracked":
            continue
        if match[2] not in still or not bool((tensor == still[match[2]]).all()):
            raise Unfit(
                f"position {match[1]} in front of its first convolution changes the input ({name}), which "
                "is no part of a ResNet. Save the ResNet alone, and give the normalisation as mean and std."
            )


def _unseen(first: int, between: int, plan: Plan) -> Iterator[str]:
    """What positions without tensors are taken for."""
    if first:
        where = "position 0 stands" if first == 1 else f"positions 0 to {first - 1} stand"
        yield f"{where} in front of the first convolution and is left out: its tensors change nothing"
    if not between:
        yield "no ReLU after the first norm: no position is left for one"
    if between > 1 and plan.cifar_stem:
        yield "two positions stand after the first norm: a ReLU and no max-pool, as with nn.Identity()"


_V2_BLOCK = re.compile(r"net\.(\d)\.blocks\.(\d+)\.(.+?)\.([a-z_]+)")
_V2_PARTS = {
    "projection.shortcut": "downsample.0",
    "projection.bn.0": "downsample.1",
    "net.0": "conv1",
    "net.1.0": "bn1",
    "net.2": "conv2",
    "net.3.0": "bn2",
    "net.4": "conv3",
    "net.5.0": "bn3",
}


def _read_simclr_v2(state: State, hints: Hints) -> Reading:
    """Google's SimCLR v2 as Separius/SimCLRv2-Pytorch names it (resnet.py), without selective kernels."""
    if any(".mixing_conv." in name for name in state):
        raise Unfit("it is a SimCLR v2 ResNet with selective kernels (sk1); the plain ones (sk0) are known.")
    renamed = {}
    for name, tensor in state.items():
        if (match := _V2_BLOCK.fullmatch(name)) and match[3] in _V2_PARTS:
            name = f"layer{match[1]}.{match[2]}.{_V2_PARTS[match[3]]}.{match[4]}"
        elif name.startswith(("net.0.0.", "net.0.1.0.")):
            name = name.replace("net.0.0.", "conv1.").replace("net.0.1.0.", "bn1.")
        renamed[name] = tensor
    reading = _read(renamed, hints)
    return replace(reading, renamed=("names of SimCLR v2 (net.S.blocks.B) are torchvision's (layerS.B)",))


def _widths(state: State, conv: str) -> tuple[int, int]:
    """Channels out and in of ``conv`` in the first stage, whose blocks agree in all but the first input."""
    wanted = re.compile(rf"layer1\.\d+\.{conv}\.weight")
    found = [tensor for name, tensor in state.items() if wanted.fullmatch(name) and tensor.ndim == 4]
    if not found:
        raise Unfit(f"it has stages of a ResNet, but no convolution {conv} in layer1.")
    return found[-1].shape[0], found[-1].shape[1]


def _blocks(state: State, stage: int) -> int:
    return len({match[1] for name in state if (match := re.match(rf"layer{stage}\.(\d+)\.", name))})


DIALECTS = (
    Dialect(
        name="ResNet (torchvision, timm)",
        anchor=re.compile(r"layer[1-4]\.0\.conv1\.weight$"),
        read=_read,
    ),
    Dialect(
        name="ResNet in nn.Sequential",
        anchor=re.compile(r"(?<![^.])\d+\.0\.conv1\.weight$"),
        read=_read_positions,
    ),
    Dialect(
        name="ResNet (SimCLR v2, converted)",
        anchor=re.compile(r"(?<![^.])net\.1\.blocks\.0\.net\.0\.weight$"),
        read=_read_simclr_v2,
    ),
)
