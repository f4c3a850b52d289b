"""How projects name the tensors of a ViT, and the way from there to timm's names.

Each function takes the tensors of one dialect and gives them timm's names, with the rules in words.
A tensor without a place keeps its name.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

from sslaudit_checkpoints.architectures.base import State, Unfit
from sslaudit_checkpoints.architectures.shapes import shape

Named = tuple[dict[str, Tensor], tuple[str, ...]]
"""Tensors by timm's names, and the rules that brought them there."""

Rules = tuple[tuple[str, str], ...]
"""Patterns with replacements, applied to each name in turn."""

_CHUNK = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)")

_GATED = re.compile(r"^(blocks\.\d+\.mlp\.)(w12|w3)\.")
_LAYER = {"w12": 1, "w3": 2}

_TORCHVISION: Rules = (
    (r"^class_token$", "cls_token"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^encoder\.ln\.", "norm."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"^(blocks\.\d+\.)ln_([12])\.", r"\1norm\2."),
    (r"^(blocks\.\d+\.)self_attention\.in_proj_", r"\1attn.qkv."),
    (r"^(blocks\.\d+\.)self_attention\.out_proj\.", r"\1attn.proj."),
    (r"^(blocks\.\d+\.)mlp\.(?:0|linear_1)\.", r"\1mlp.fc1."),
    (r"^(blocks\.\d+\.)mlp\.(?:3|linear_2)\.", r"\1mlp.fc2."),
)

_MMPRETRAIN: Rules = (
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^pre_norm\.", "norm_pre."),
    (r"^(?:ln|norm)1\.", "norm."),
    (r"^(?:ln|norm)2\.", "fc_norm."),
    (r"^layers\.(\d+)\.", r"blocks.\1."),
    (r"^(blocks\.\d+\.)ln([12])\.", r"\1norm\2."),
    (r"^(blocks\.\d+\.)(?:attn|ffn)\.gamma([12])\.(?:weight|scale)$", r"\1ls\2.gamma"),
    (r"^(blocks\.\d+\.)ffn\.(?:layers\.0\.0|w12)\.", r"\1mlp.fc1."),
    (r"^(blocks\.\d+\.)ffn\.(?:layers\.1|w3)\.", r"\1mlp.fc2."),
)

_TRANSFORMERS: Rules = (
    (r"^embeddings\.(cls_token|register_tokens|mask_token)$", r"\1"),
    (r"^embeddings\.distillation_token$", "dist_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"^(?:encoder\.layer|layers)\.(\d+)\.", r"blocks.\1."),
    (r"^(blocks\.\d+\.)layernorm_before\.", r"\1norm1."),
    (r"^(blocks\.\d+\.)layernorm_after\.", r"\1norm2."),
    (r"^(blocks\.\d+\.)attention\.attention\.([qkv])(?:uery|ey|alue)\.", r"\1attn.\2."),
    (r"^(blocks\.\d+\.)attention\.([qkv])_proj\.", r"\1attn.\2."),
    (r"^(blocks\.\d+\.)attention\.(?:output\.dense|o_proj)\.", r"\1attn.proj."),
    (r"^(blocks\.\d+\.)layer_scale([12])\.lambda1$", r"\1ls\2.gamma"),
    (r"^(blocks\.\d+\.)(?:intermediate\.dense|mlp\.weights_in)\.", r"\1mlp.fc1."),
    (r"^(blocks\.\d+\.)(?:output\.dense|mlp\.weights_out|mlp\.down_proj)\.", r"\1mlp.fc2."),
)


def from_timm(state: State) -> Named:
    """timm's names, with the block chunks of DINOv2 undone."""
    if not any(map(_CHUNK.fullmatch, state)):
        return _finished(state)
    named = _renamed(state, lambda name: _CHUNK.sub(r"blocks.\2.\3", name))
    return _finished(named, "blocks.CHUNK.INDEX is blocks.INDEX: the index counts through all chunks")


def from_torchvision(state: State) -> Named:
    """The names of torchvision/models/vision_transformer.py. Raises ``Unfit``."""
    named = _translated(state, _TORCHVISION, "encoder.")
    return _finished(named, "torchvision's names are timm's here: encoder.layers.encoder_layer_N is blocks.N")


def from_mmpretrain(state: State) -> Named:
    """The names of mmpretrain/models/backbones/vision_transformer.py. Raises ``Unfit``."""
    named = _translated(state, _MMPRETRAIN, "layers.")
    return _finished(named, "mmpretrain's names are timm's here: layers.N is blocks.N, ffn is mlp")


def from_transformers(state: State) -> Named:
    """The names of transformers' ViT and DINOv2, of version 4 and 5. Raises ``Unfit``."""
    named = _translated(state, _TRANSFORMERS, ("embeddings.", "encoder."))
    named = _joined(_joined(named, "attn", ("q", "k", "v"), "qkv"), "mlp", ("gate_proj", "up_proj"), "fc1")
    return _finished(
        named,
        "transformers' names are timm's here: encoder.layer.N is blocks.N; query, key, value are joined",
    )


def _finished(state: State, *said: str) -> Named:
    """With what more than one dialect has: gated MLPs and the registers of DINOv2."""
    named = _renamed(state, lambda name: _GATED.sub(lambda m: f"{m[1]}fc{_LAYER[m[2]]}.", name))
    if "register_tokens" not in named:
        return named, said
    return _registers(named), (
        *said,
        "register_tokens is reg_token; the class token takes its row of the position table",
    )


def _registers(state: State) -> dict[str, Tensor]:
    """DINOv2 adds positions to class token and patches, then puts the registers between them.

    timm's table is for the patches alone. Source: facebookresearch/dinov2 vision_transformer.py.
    """
    width = shape(state, "register_tokens", 3)[2]
    if shape(state, "pos_embed", 3)[::2] != (1, width) or shape(state, "cls_token", 3) != (1, 1, width):
        raise Unfit("its register tokens, class token and position table have different widths.")
    table, token = state["pos_embed"], state["cls_token"]
    named = {name: tensor for name, tensor in state.items() if name != "register_tokens"}
    return named | {
        "reg_token": state["register_tokens"],
        "cls_token": token + table[:, :1],
        "pos_embed": table[:, 1:],
    }


def _joined(state: State, layer: str, parts: tuple[str, ...], name: str) -> dict[str, Tensor]:
    """Each ``blocks.N.LAYER.PART`` joined along the first axis to ``blocks.N.LAYER.NAME``."""
    first = re.compile(rf"(blocks\.\d+\.{layer}\.){parts[0]}\.(weight|bias)")
    named = dict(state)
    for match in filter(None, map(first.fullmatch, state)):
        names = [f"{match[1]}{part}.{match[2]}" for part in parts]
        tensors = [named[one] for one in names if one in named]
        if len({t.shape for t in tensors}) != 1 or not tensors[0].ndim or len(tensors) != len(parts):
            continue  # they keep their names, and the match refuses them
        named = {one: tensor for one, tensor in named.items() if one not in names}
        named[f"{match[1]}{name}.{match[2]}"] = torch.cat(tensors)
    return named


def _translated(state: State, rules: Rules, reserved: str | tuple[str, ...]) -> dict[str, Tensor]:
    """``state`` with ``rules`` applied. Raises ``Unfit`` when a name under ``reserved`` is left."""

    def translate(name: str) -> str:
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        return name

    named = _renamed(state, translate)
    if left := [name for name in named if name.startswith(reserved)]:
        more = f" and {len(left) - 1} more" if left[1:] else ""
        raise Unfit(f"it is named as a ViT, but holds tensors that a ViT has not: {left[0]}{more}.")
    return named


def _renamed(state: State, rule: Callable[[str], str]) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if (new := rule(name)) in named:
            raise Unfit(f"two of its tensors are both '{new}', one of them written '{name}'.")
        named[new] = tensor
    return named
