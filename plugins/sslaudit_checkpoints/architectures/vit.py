"""Vision transformers: what decides one, how shapes say it, and the network itself.

=======================  ==========================================  ==============================
dialect                  anchor                                      brought to timm's names by
=======================  ==========================================  ==============================
timm, DINO, MAE, ...     ``blocks.0.attn.qkv.weight``                chunks, registers, SwiGLU
torchvision              ``encoder_layer_0.self_attention.in_...``   renaming
mmpretrain, mmselfsup    ``layers.0.ffn.layers.0.0.weight``          renaming
transformers             ``encoder.layer.0.attention...query``       renaming, q, k and v joined
=======================  ==========================================  ==============================
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit_checkpoints.architectures.base import Architecture, Dialect, Hints, Reading, State, Unfit
from sslaudit_checkpoints.architectures.shapes import count, refuse_gray, shape
from sslaudit_checkpoints.architectures.vit_names import (
    Named,
    from_mmpretrain,
    from_timm,
    from_torchvision,
    from_transformers,
)

HEADS = {
    192: 3,  # DeiT-Ti, DINO, MSN, I-JEPA
    320: 5,  # timm vit_little
    384: 6,  # DeiT-S, DINO, DINOv2, iBOT, MSN
    512: 8,  # DeiT III medium
    640: 10,  # timm vit_betwixt
    768: 12,  # DeiT-B, DINO, DINOv2, MAE, MoCo v3
    832: 13,  # timm vit_so150m2
    896: 14,  # timm vit_base_patch16_plus
    1024: 16,  # MAE, DINOv2, MoCo v3, MSN
    1152: 16,  # So400m
    1280: 16,  # MAE and I-JEPA huge, MoCo v3
    1408: 16,  # I-JEPA giant, EVA giant
    1536: 24,  # DINOv2 giant2
    1664: 16,  # I-JEPA and CLIP gigantic
}
"""Published number of attention heads by width."""

MOCOV3_HEADS = {192: 12, 384: 12}
"""Where MoCo v3 differs. Source: facebookresearch/moco-v3 vits.py; 192: solo-learn vit_mocov3.py."""

_NAMES = {
    (192, 12): "vit_tiny",
    (384, 12): "vit_small",
    (768, 12): "vit_base",
    (1024, 24): "vit_large",
    (1280, 32): "vit_huge",
    (1408, 40): "vit_giant",
    (1536, 40): "vit_giant2",
    (320, 14): "vit_little",
    (512, 12): "vit_medium",
    (640, 12): "vit_betwixt",
    (832, 21): "vit_so150m2",
    (896, 14): "vit_base_plus",
    (1152, 27): "vit_so400m",
    (1664, 48): "vit_gigantic",
}

_POOLING = {
    "token": "class token after the last norm",
    "distilled": "mean of class and distillation token after the last norm",
    "avg": "mean of the patch tokens after the last norm",
    "avg, norm": "mean of the patch tokens, then the last norm",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that decides a ViT."""

    width: int
    depth: int
    heads: int
    hidden: int
    """Rows of the first layer of the MLP: both halves of a gated one."""
    gated: bool
    """SwiGLU in place of GELU."""
    patch: tuple[int, int]
    grid: tuple[int, int]
    pooling: str
    """A key of the table of poolings."""
    class_token: bool
    registers: int
    table_of_patches: bool
    """The position table has rows for the patches only, none for class token and registers."""
    qkv_bias: bool
    layer_scale: bool
    eps: float
    """Of every layer norm."""

    @property
    def size(self) -> tuple[int, int]:
        """Input height and width in pixels."""
        return self.grid[0] * self.patch[0], self.grid[1] * self.patch[1]

    @property
    def name(self) -> str:
        """``vit_small, patch 16``."""
        known = _NAMES.get((self.width, self.depth), f"vit of width {self.width} and depth {self.depth}")
        return f"{known}, patch {_times(self.patch)}"


def infer(state: State, hints: Hints, eps: float) -> Plan:
    """The ViT whose shapes are those of ``state``, in timm's names. Raises ``Unfit``."""
    width, patch = _patch(state)
    hidden, _ = shape(state, "blocks.0.mlp.fc1.weight", 2)
    _, inner = shape(state, "blocks.0.mlp.fc2.weight", 2)
    grid, table_of_patches = _grid(state, hints, patch)
    if (width, hidden) == (768, 2304) and not _in_blocks(state, "attn.qkv.bias"):
        raise Unfit(
            "it is the first vit_small of timm (width 768, 8 blocks), whose attention is scaled otherwise "
            "and which timm no longer builds. Export it as TorchScript from the timm it was made with."
        )
    return Plan(
        width=width,
        depth=count(state, r"blocks\.(\d+)\."),
        heads=_heads(width, hints),
        hidden=hidden,
        gated=hidden == 2 * inner,
        patch=patch,
        grid=grid,
        pooling=_pooling(state),
        class_token="cls_token" in state,
        registers=shape(state, "reg_token", 3)[1] if "reg_token" in state else 0,
        table_of_patches=table_of_patches,
        qkv_bias=_in_blocks(state, "attn.qkv.bias"),
        layer_scale=_in_blocks(state, "ls1.gamma"),
        eps=eps,
    )


def architecture(plan: Plan, hints: Hints) -> Architecture:
    """The architecture of ``plan``, with what it assumes."""
    facts = {
        "patch": _times(plan.patch),
        "grid": f"{plan.grid[0]}x{plan.grid[1]}",
        "class token": "yes" if plan.class_token else "no",
        "heads": str(plan.heads),
        "pooling": _POOLING[plan.pooling],
        "layer norm eps": f"{plan.eps:g}",
    }
    if plan.registers:
        facts["registers"] = str(plan.registers)
    assumed = f"{plan.heads} attention heads, as published for width {plan.width}; heads= says another number"
    return Architecture(
        name=plan.name,
        build=lambda: build(plan),
        preprocess=Preprocess(
            size=plan.size, crop=0.875 if plan.size == (224, 224) else 1.0, interpolation="bicubic"
        ),
        depth=str(plan.depth),
        published=(plan.width, plan.depth) in _NAMES,
        assumptions=() if hints.heads else (assumed,),
        facts=facts,
    )


def build(plan: Plan) -> nn.Module:
    """The backbone (B, 3, H, W) -> (B, D) with fresh weights."""
    from timm.layers import LayerNorm, Mlp, SwiGLUPacked
    from timm.models.deit import VisionTransformerDistilled
    from timm.models.vision_transformer import VisionTransformer

    distilled = plan.pooling == "distilled"
    return (VisionTransformerDistilled if distilled else VisionTransformer)(
        img_size=plan.size,
        patch_size=plan.patch,
        num_classes=0,
        global_pool="token" if distilled else plan.pooling.split(",")[0],
        embed_dim=plan.width,
        depth=plan.depth,
        num_heads=plan.heads,
        mlp_ratio=plan.hidden / plan.width + 1e-6,  # timm rounds down
        qkv_bias=plan.qkv_bias,
        init_values=1e-5 if plan.layer_scale else None,
        class_token=plan.class_token,
        no_embed_class=plan.table_of_patches,
        reg_tokens=plan.registers,
        fc_norm=plan.pooling == "avg, norm",
        norm_layer=partial(LayerNorm, eps=plan.eps),
        mlp_layer=SwiGLUPacked if plan.gated else Mlp,
        act_layer=nn.SiLU if plan.gated else nn.GELU,
    )


def _patch(state: State) -> tuple[int, tuple[int, int]]:
    """Width and patch size."""
    name = "patch_embed.proj.weight"
    if "patch_embed.proj.0.weight" in state:
        raise Unfit("its patches come from several convolutions (a convolutional stem); one is known.")
    if name in state and state[name].ndim == 5:
        raise Unfit("it is a video transformer: its patches have a third axis.")
    width, channels, height, breadth = shape(state, name, 4)
    refuse_gray(channels)
    return width, (height, breadth)


def _heads(width: int, hints: Hints) -> int:
    published = MOCOV3_HEADS.get(width) if hints.project == "mocov3" else None
    heads = hints.heads or published or HEADS.get(width)
    if heads is None:
        raise Unfit(
            f"it is a ViT of width {width}, for which no number of attention heads is published, "
            f"and the tensors do not say it. Say it: heads={max(1, width // 64)}"
        )
    if heads < 1 or width % heads:
        raise Unfit(f"its width {width} does not divide into {heads} attention heads; say another heads=.")
    return heads


def _pooling(state: State) -> str:
    for part, what in (("norm_pre.", "CLIP's norm before its blocks"), ("attn_pool.", "attention pooling")):
        if any(name.startswith(part) for name in state):
            raise Unfit(
                f"it has {what}. Which GELU and which eps such a net has, the tensors do not say. "
                "Name it: arch=timm:NAME"
            )
    if "fc_norm.weight" in state:
        if "norm.weight" in state:
            raise Unfit("it has two last norms, 'norm' and 'fc_norm'; a ViT has one of them.")
        return "avg, norm"
    if "dist_token" in state:
        return "distilled"
    return "token" if "cls_token" in state else "avg"


def _grid(state: State, hints: Hints, patch: tuple[int, int]) -> tuple[tuple[int, int], bool]:
    """Patches by height and width, and whether the position table holds nothing but them."""
    if "pos_embed" not in state:
        raise Unfit(
            "it has the blocks of a ViT but no position table 'pos_embed' (rotary or relative positions?). "
            "Name it: arch=timm:NAME"
        )
    rows = shape(state, "pos_embed", 3)[1]
    tokens = sum(
        shape(state, name, 3)[1] for name in ("cls_token", "dist_token", "reg_token") if name in state
    )
    # timm gives registers no rows; without registers a row for each token is the rule
    inside = (0, tokens) if "reg_token" in state else (tokens, 0)
    for extra in inside:
        if grid := _fits(rows - extra, hints.size, patch):
            return grid, extra == 0 and tokens > 0
    raise Unfit(_no_grid(rows - inside[0], hints.size, patch))


def _fits(patches: int, size: tuple[int, int] | None, patch: tuple[int, int]) -> tuple[int, int] | None:
    if patches < 1:
        return None
    if size is not None:
        grid = size[0] // patch[0], size[1] // patch[1]
        whole = size == (grid[0] * patch[0], grid[1] * patch[1])
        return grid if whole and grid[0] * grid[1] == patches else None
    side = math.isqrt(patches)
    return (side, side) if side * side == patches else None


def _no_grid(patches: int, size: tuple[int, int] | None, patch: tuple[int, int]) -> str:
    if patches < 1:
        return "its position table has fewer rows than it has class and register tokens."
    low = max(n for n in range(1, math.isqrt(patches) + 1) if patches % n == 0)
    high = patches // low
    fits = f"size={low * patch[0]}x{high * patch[1]}"
    holds = f"its position table holds {patches} patches of {patch[0]}x{patch[1]} pixels"
    if size is None:
        return (
            f"{holds}, which is no square grid. "
            f"Say the input size, height first: {fits} makes the grid {low}x{high}."
        )
    leave = "Leave size= away, or say" if low == high else "Say"
    return (
        f"{holds}, which size={size[0]}x{size[1]} does not make. "
        f"The table is not resized silently. {leave} {fits}."
    )


def _in_blocks(state: State, end: str) -> bool:
    return any(name.startswith("blocks.") and name.endswith(f".{end}") for name in state)


def _times(patch: tuple[int, int]) -> str:
    return str(patch[0]) if patch[0] == patch[1] else f"{patch[0]}x{patch[1]}"


def _eps(state: State) -> float:
    return 1e-6


def _eps_of_transformers(state: State) -> float:
    """The defaults of ViTConfig (also for DeiT, MAE, I-JEPA) and of Dinov2Config."""
    return 1e-12 if any(".layernorm_before." in name for name in state) else 1e-6


def _reader(
    rename: Callable[[State], Named], eps: Callable[[State], float] = _eps
) -> Callable[[State, Hints], Reading]:
    def read(state: State, hints: Hints) -> Reading:
        named, said = rename(state)
        plan = infer(named, hints, eps(state))
        return Reading(architecture=architecture(plan, hints), state=named, renamed=said)

    return read


DIALECTS = (
    Dialect(
        name="ViT (timm, DINO, DINOv2, MAE, MoCo v3, I-JEPA)",
        # not the blocks inside a stage of Swin or a hybrid
        anchor=re.compile(
            r"(?<![^.])(?<!layers\.\d\.)(?<!stages\.\d\.)blocks\.0\.(?:0\.)?attn\.qkv\.weight$"
        ),
        read=_reader(from_timm),
    ),
    Dialect(
        name="torchvision ViT",
        anchor=re.compile(r"(?<![^.])encoder\.layers\.encoder_layer_0\.self_attention\.in_proj_weight$"),
        read=_reader(from_torchvision),
    ),
    Dialect(
        name="mmpretrain ViT",
        anchor=re.compile(r"(?<![^.])layers\.0\.ffn\.(?:layers\.0\.0|w12)\.weight$"),
        read=_reader(from_mmpretrain),
    ),
    Dialect(
        name="transformers ViT, DINOv2",
        anchor=re.compile(
            r"(?<![^.])(?:encoder\.layer|layers)\.0\.attention\.(?:attention\.query|q_proj)\.weight$"
        ),
        read=_reader(from_transformers, _eps_of_transformers),
    ),
)
