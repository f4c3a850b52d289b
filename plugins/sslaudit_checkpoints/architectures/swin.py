"""Swin transformers: how projects name the tensors, and which net the shapes say.

============================  ===========================================  ============================
dialect                       anchor                                       brought to timm's names by
============================  ===========================================  ============================
timm, microsoft, solo-learn   ``layers.0.blocks.0.attn.relative_...``      merging moved to next stage
torchvision                   ``features.1.0.attn.relative_position_...``  nothing: torchvision's net
============================  ===========================================  ============================
"""

import math
import re
from dataclasses import dataclass

from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit_checkpoints.architectures.base import Architecture, Dialect, Hints, Reading, State, Unfit
from sslaudit_checkpoints.architectures.shapes import count, refuse_gray, shape

_NAMES: dict[tuple[int, tuple[int, ...]], str] = {
    (96, (2, 2, 6, 2)): "tiny",
    (96, (2, 2, 18, 2)): "small",
    (128, (2, 2, 18, 2)): "base",
    (192, (2, 2, 18, 2)): "large",
}
"""By width of the first stage and blocks of each."""

_POOLING = "last norm, then the mean of all positions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that decides a Swin transformer."""

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    patch: int
    mlp_ratio: float
    qkv_bias: bool
    size: tuple[int, int]
    second: bool = False
    """Swin V2."""

    @property
    def name(self) -> str:
        """``swin_tiny, window 7``."""
        kind = "swin_v2" if self.second else "swin"
        known = _NAMES.get((self.width, self.depths))
        depths = "-".join(map(str, self.depths))
        net = f"{kind}_{known}" if known else f"{kind} of width {self.width} and depths {depths}"
        return f"{net}, window {self.window}"

    @property
    def facts(self) -> dict[str, str]:
        """What a reader may ask."""
        return {
            "patch": str(self.patch),
            "window": str(self.window),
            "heads": "-".join(map(str, self.heads)),
            "pooling": _POOLING,
        }

    @property
    def preprocess(self) -> Preprocess:
        """What is assumed of the images."""
        crop = 0.875 if self.size == (224, 224) else 1.0
        return Preprocess(size=self.size, crop=crop, interpolation="bicubic")


def build(plan: Plan) -> nn.Module:
    """timm's net (B, 3, H, W) -> (B, D) with fresh weights; it takes images of the plan's size."""
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=plan.size,
        patch_size=plan.patch,
        num_classes=0,
        embed_dim=plan.width,
        depths=plan.depths,
        num_heads=plan.heads,
        window_size=plan.window,
        mlp_ratio=plan.mlp_ratio,
        qkv_bias=plan.qkv_bias,
        drop_path_rate=0.0,
    )


def build_torchvision(plan: Plan) -> nn.Module:
    """torchvision's net (B, 3, H, W) -> (B, D) with fresh weights; it takes images of any size."""
    from torchvision.models import swin_transformer as torchvision_swin

    model: nn.Module = torchvision_swin.SwinTransformer(
        patch_size=[plan.patch, plan.patch],
        embed_dim=plan.width,
        depths=list(plan.depths),
        num_heads=list(plan.heads),
        window_size=[plan.window, plan.window],
        mlp_ratio=plan.mlp_ratio,
        stochastic_depth_prob=0.0,
        block=torchvision_swin.SwinTransformerBlockV2 if plan.second else None,
        downsample_layer=torchvision_swin.PatchMergingV2 if plan.second else torchvision_swin.PatchMerging,
    )
    model.head = nn.Identity()
    return model


def _read(state: State, hints: Hints) -> Reading:
    # the official net merges patches at the end of a stage, timm at the start of the next
    late = "layers.0.downsample.reduction.weight" in state
    named, said = {}, []
    for name, tensor in state.items():
        if re.match(r"layers\.\d+\.blocks\.\d+\.(attn\.relative_position_index|attn_mask)$", name):
            continue
        new = re.sub(
            r"^layers\.(\d+)\.downsample\.", lambda m: f"layers.{int(m[1]) + late}.downsample.", name
        )
        named[new] = tensor
    if late:
        said.append(
            "layers.N.downsample is layers.N+1.downsample: patches are merged at the start of a stage"
        )
    if dropped := len(state) - len(named):
        said.append(f"relative_position_index and attn_mask ({dropped} tensors) are computed, not read")
    plan, assumptions = _infer(state, hints)
    return Reading(
        architecture=Architecture(
            name=plan.name,
            depth="-".join(map(str, plan.depths)),
            published=(plan.width, plan.depths) in _NAMES,
            build=lambda: build(plan),
            preprocess=plan.preprocess,
            assumptions=assumptions,
            facts=plan.facts,
        ),
        state=named,
        renamed=tuple(said),
    )


def _infer(state: State, hints: Hints) -> tuple[Plan, tuple[str, ...]]:
    if any(".attn.logit_scale" in name for name in state):
        raise Unfit("it is a Swin V2; name it with its input size: arch=timm:swinv2_tiny_window8_256")
    if "absolute_pos_embed" in state:
        raise Unfit("it is a Swin with an absolute position table (APE), which no known project publishes.")
    width, channels, patch, _ = shape(state, "patch_embed.proj.weight", 4)
    refuse_gray(channels)
    stages = count(state, r"layers\.(\d+)\.blocks\.")
    tables = [
        shape(state, f"layers.{stage}.blocks.0.attn.relative_position_bias_table", 2)
        for stage in range(stages)
    ]
    windows = [_window(rows) for rows, _ in tables]
    heads = tuple(columns for _, columns in tables)
    _check_heads(width, heads)
    size, assumptions = _size(state, hints, patch, windows)
    grids = [tuple(-(-pixels // (patch * 2**stage)) for pixels in size) for stage in range(stages)]
    fitting = [math.prod(2 * min(side, windows[0]) - 1 for side in grid) for grid in grids]
    if fitting != [rows for rows, _ in tables] or any(pixels % patch for pixels in size):
        raise Unfit(
            f"its stages have windows of {', '.join(map(str, windows))} patches, which do not fit an "
            f"input of {size[0]}x{size[1]}. Position tables are not resized silently: say another size="
        )
    plan = Plan(
        width=width,
        depths=tuple(count(state, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in range(stages)),
        heads=heads,
        window=windows[0],
        patch=patch,
        mlp_ratio=shape(state, "layers.0.blocks.0.mlp.fc1.weight", 2)[0] / width + 1e-6,  # timm rounds down
        qkv_bias=any(name.endswith(".attn.qkv.bias") for name in state),
        size=size,
    )
    return plan, assumptions


def _size(
    state: State, hints: Hints, patch: int, windows: list[int]
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Input size as given, by the number of windows in a mask, or by the last stage."""
    if hints.size is not None:
        return hints.size, ()
    if "layers.0.blocks.1.attn_mask" in state:
        across = math.isqrt(shape(state, "layers.0.blocks.1.attn_mask", 3)[0])
        pixels = patch * windows[0] * across
        return (pixels, pixels), ()
    pixels = patch * 2 ** (len(windows) - 1) * windows[-1]
    assumed = f"input of {pixels} pixels: at that size one window covers the last stage; size= says another"
    return (pixels, pixels), (assumed,)


def _read_torchvision(state: State, hints: Hints) -> Reading:
    width, channels, patch, _ = shape(state, "features.0.0.weight", 4)
    refuse_gray(channels)
    second = "features.1.0.attn.logit_scale" in state
    places = range(1, 2 * count(state, r"features\.(\d*[13579])\."), 2)
    indices = [shape(state, f"features.{place}.0.attn.relative_position_index", 1)[0] for place in places]
    window = math.isqrt(math.isqrt(indices[0]))
    key, axes = ("logit_scale", 3) if second else ("relative_position_bias_table", 2)
    heads = [shape(state, f"features.{place}.0.attn.{key}", axes) for place in places]
    plan = Plan(
        width=width,
        depths=tuple(count(state, rf"features\.{place}\.(\d+)\.") for place in places),
        heads=tuple(sizes[0 if second else 1] for sizes in heads),
        window=window,
        patch=patch,
        mlp_ratio=shape(state, "features.1.0.mlp.0.weight", 2)[0] / width + 1e-6,
        qkv_bias=True,
        size=hints.size or (patch * 8 * window, patch * 8 * window),
        second=second,
    )
    _check_heads(width, plan.heads)
    if min(plan.size) < patch:
        raise Unfit(
            f"images of {plan.size[0]}x{plan.size[1]} are smaller than its patches of {patch} pixels."
        )
    if sum(plan.depths) < 2:
        raise Unfit("it is a Swin of one block; torchvision builds none so small.")
    return Reading(
        architecture=Architecture(
            name=plan.name,
            depth="-".join(map(str, plan.depths)),
            published=(plan.width, plan.depths) in _NAMES,
            build=lambda: build_torchvision(plan),
            preprocess=plan.preprocess,
            facts=plan.facts,
        ),
        state=dict(state),
    )


def _window(rows: int) -> int:
    """Side of the window whose relative position table has so many rows: (2w - 1)^2."""
    side = math.isqrt(rows)
    if side * side != rows or side % 2 == 0:
        raise Unfit(
            f"a relative position table has {rows} rows, which is no square window ((2w - 1)^2 rows)."
        )
    return (side + 1) // 2


def _check_heads(width: int, heads: tuple[int, ...]) -> None:
    for stage, number in enumerate(heads):
        if (wide := width * 2**stage) % number:
            raise Unfit(f"stage {stage} has {number} attention heads, which do not divide its width {wide}.")


DIALECTS = (
    Dialect(
        name="Swin (timm, microsoft, solo-learn)",
        anchor=re.compile(
            r"(?<![^.])layers\.0\.blocks\.0\.attn\.(?:relative_position_bias_table|logit_scale)$"
        ),
        read=_read,
    ),
    Dialect(
        name="Swin (torchvision)",
        anchor=re.compile(r"(?<![^.])features\.1\.0\.attn\.relative_position_index$"),
        read=_read_torchvision,
    ),
)
