"""A ViT of one's own in plain matrix code and float64, and small state dicts for it."""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from tests.plugins.checkpoints.arch_reading import State


def images(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(5))


def tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Random ones; tokens so small that the eps of a layer norm shows in the features."""
    generator = torch.Generator().manual_seed(11)
    small = re.compile(r"pos_|cls_|class_|position_|patch_embed|conv_proj|token")
    return {
        name: torch.randn(shape, generator=generator) * (0.003 if small.search(name) else 0.1)
        for name, shape in shapes.items()
    }


def backbone(
    *,
    width: int = 192,
    depth: int = 2,
    patch: int = 8,
    rows: int = 17,
    hidden: int = 48,
    token: bool = True,
    scale: bool = False,
    gated: bool = False,
    block: Callable[[int], str] = "blocks.{}".format,
    norm: str = "norm",
    bias: bool = True,
) -> dict[str, Tensor]:
    """facebookresearch/dino vision_transformer.py, with what its descendants add."""
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, width)} if token else {}
    shapes |= {
        "pos_embed": (1, rows, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    for index in range(depth):
        first, last = ("w12", "w3") if gated else ("fc1", "fc2")
        own: dict[str, tuple[int, ...]] = {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            f"mlp.{first}.weight": (hidden * (2 if gated else 1), width),
            f"mlp.{first}.bias": (hidden * (2 if gated else 1),),
            f"mlp.{last}.weight": (width, hidden),
            f"mlp.{last}.bias": (width,),
        }
        own |= {"attn.qkv.bias": (3 * width,)} if bias else {}
        own |= {"ls1.gamma": (width,), "ls2.gamma": (width,)} if scale else {}
        shapes |= {f"{block(index)}.{name}": shape for name, shape in own.items()}
    return tensors({**shapes, f"{norm}.weight": (width,), f"{norm}.bias": (width,)})


def forward(
    state: State,
    pixels: Tensor,
    *,
    heads: int,
    eps: float = 1e-6,
    block: Callable[[int], str] = "blocks.{}".format,
    depth: int = 2,
    registers: str = "",
) -> Tensor:
    """All tokens before the last norm, (B, N, D), in plain matrix code and float64."""
    s = {name: tensor.double() for name, tensor in state.items()}
    weight = s["patch_embed.proj.weight"]
    width, patch = weight.shape[0], weight.shape[2]
    cut = pixels.double().unfold(2, patch, patch).unfold(3, patch, patch)  # (B, 3, h, w, p, p)
    cut = cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    x = cut @ weight.flatten(1).T + s["patch_embed.proj.bias"]
    if "cls_token" in s:
        x = torch.cat([s["cls_token"].expand(len(x), -1, -1), x], dim=1)
    x = x + s["pos_embed"]
    if registers:
        x = torch.cat([x[:, :1], s[registers].expand(len(x), -1, -1), x[:, 1:]], dim=1)
    for index in range(depth):
        b = {n.removeprefix(f"{block(index)}."): t for n, t in s.items() if n.startswith(f"{block(index)}.")}
        y = normed(x, b["norm1.weight"], b["norm1.bias"], eps)
        y = y @ b["attn.qkv.weight"].T + b.get("attn.qkv.bias", torch.zeros(1, dtype=torch.double))
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in y.split(width, dim=-1))
        attention = (q @ k.transpose(-1, -2) / (width // heads) ** 0.5).softmax(-1)
        y = (attention @ v).transpose(1, 2).flatten(2) @ b["attn.proj.weight"].T + b["attn.proj.bias"]
        x = x + y * b.get("ls1.gamma", 1)
        y = normed(x, b["norm2.weight"], b["norm2.bias"], eps)
        if "mlp.w12.weight" in b:
            gate, value = (y @ b["mlp.w12.weight"].T + b["mlp.w12.bias"]).chunk(2, dim=-1)
            y = gate * torch.sigmoid(gate) * value @ b["mlp.w3.weight"].T + b["mlp.w3.bias"]
        else:
            y = functional.gelu(y @ b["mlp.fc1.weight"].T + b["mlp.fc1.bias"])
            y = y @ b["mlp.fc2.weight"].T + b["mlp.fc2.bias"]
        x = x + y * b.get("ls2.gamma", 1)
    return x


def normed(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * weight.double() + bias.double()


def class_token(state: State, pixels: Tensor, **options: object) -> Tensor:
    x = forward(state, pixels, **options)
    return normed(x, state["norm.weight"], state["norm.bias"])[:, 0]
