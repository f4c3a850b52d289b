"""Vision transformers from names and shapes, against an independent forward pass in float64.

Each layout is written as the project's own code names it; the source file stands at the layout.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionViT

from sslaudit_checkpoints.architectures import DIALECTS
from sslaudit_checkpoints.architectures.base import Hints, Reading, Unfit
from sslaudit_checkpoints.architectures.vit import HEADS
from sslaudit_checkpoints.match import match
from sslaudit_checkpoints.materialise import network

State = Mapping[str, Tensor]


def read(state: State, **hints: object) -> Reading:
    """As the one dialect that recognises ``state`` reads it."""
    found = [(dialect, prefix) for dialect in DIALECTS for prefix in dialect.prefixes(state)]
    assert len(found) == 1, found
    dialect, prefix = found[0]
    return dialect.read(
        {n[len(prefix) :]: t for n, t in state.items() if n.startswith(prefix)}, Hints(**hints)
    )


def load(reading: Reading) -> nn.Module:
    """The network, after a complete match."""
    skeleton = reading.architecture.skeleton()
    fit = match(reading.state, skeleton.state_dict())
    assert fit.complete, fit
    weights = {name: reading.state[name] for name in fit.matched}
    return network(reading.architecture, skeleton, weights).eval()


def assert_same(got: Tensor, expected: Tensor) -> None:
    assert got.shape == expected.shape
    assert float((got - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def embed(reading: Reading, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return load(reading)(images).double()


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


def test_dino() -> None:
    """facebookresearch/dino main_dino.py: teacher with ``backbone`` and ``head``."""
    plain = backbone()
    head = tensors({"head.mlp.0.weight": (8, 192), "head.last_layer.weight_g": (5, 1)})
    reading = read({f"backbone.{name}": t for name, t in plain.items()} | head)
    pixels = images(32, 32)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3))
    assert reading.architecture.facts["pooling"] == "class token after the last norm"
    assert reading.architecture.facts["heads"] == "3"
    assert "3 attention heads" in reading.architecture.assumptions[0]
    assert "heads=" in reading.architecture.assumptions[0]
    assert reading.renamed == ()


def test_eps_and_heads_show_in_these_features() -> None:
    """The tests above can fail: another eps or number of heads moves the reference beyond the tolerance."""
    plain, pixels = backbone(), images(32, 32)
    right = class_token(plain, pixels, heads=3)
    for options in ({"heads": 3, "eps": 1e-5}, {"heads": 3, "eps": 1e-12}, {"heads": 6}):
        other = class_token(plain, pixels, **options)
        assert float((other - right).abs().max()) > 1e-4 * float(right.abs().max())


def test_the_input_size_is_that_of_the_position_table() -> None:
    plain = backbone(patch=16, rows=37)
    reading = read(plain)
    assert reading.architecture.preprocess.size == (96, 96)
    assert reading.architecture.preprocess.source == "assumed"
    assert reading.architecture.facts["grid"] == "6x6"
    pixels = images(96, 96)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3))


def test_a_square_number_of_rows_without_class_token_is_the_grid() -> None:
    """facebookresearch/ijepa src/models/vision_transformer.py: no class token, mean of the patches."""
    plain = backbone(rows=16, token=False)
    reading = read({f"encoder.module.{name}": t for name, t in plain.items()})
    pixels = images(32, 32)
    x = normed(forward(plain, pixels, heads=3), plain["norm.weight"], plain["norm.bias"])
    assert_same(embed(reading, pixels), x.mean(1))
    assert reading.architecture.facts["grid"] == "4x4"
    assert reading.architecture.facts["class token"] == "no"
    assert reading.architecture.facts["pooling"] == "mean of the patch tokens after the last norm"


def test_a_table_of_patches_beside_a_class_token() -> None:
    """facebookresearch/deit models_v2.py (DeiT III) in timm's names: the class token has no position."""
    plain = backbone(rows=16, scale=True)
    reading = read(plain)
    pixels = images(32, 32)
    whole = {**plain, "pos_embed": torch.cat([torch.zeros(1, 1, 192), plain["pos_embed"]], dim=1)}
    assert_same(embed(reading, pixels), class_token(whole, pixels, heads=3))


@pytest.mark.parametrize(("project", "heads"), [("mocov3", 12), ("dino", 6), ("", 6)])
def test_small_vits_have_12_heads_in_mocov3(project: str, heads: int) -> None:
    """facebookresearch/moco-v3 vits.py: vit_small with 12 heads; all others have 6."""
    plain = backbone(width=384)
    head = tensors({"head.0.weight": (8, 384), "head.1.weight": (8,)})
    reading = read({f"base_encoder.{name}": t for name, t in (plain | head).items()}, project=project)
    pixels = images(32, 32)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=heads))
    assert reading.architecture.facts["heads"] == str(heads)


def test_given_heads_win_and_are_no_assumption() -> None:
    plain = backbone()
    reading = read(plain, heads=12, project="mocov3")
    pixels = images(32, 32)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=12))
    assert reading.architecture.assumptions == ()


def test_mae_leaves_its_decoder() -> None:
    """facebookresearch/mae models_mae.py: decoder and mask token beside the encoder."""
    plain = backbone(width=768, hidden=32)
    decoder = {f"decoder_{n}": t for n, t in backbone(width=64, norm="norm").items() if "cls" not in n}
    decoder |= tensors({"mask_token": (1, 1, 64), "decoder_embed.weight": (64, 768)})
    reading = read(plain | decoder)
    pixels = images(32, 32)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=12))
    assert set(decoder) <= set(reading.state)


def test_mae_fine_tuned_on_the_mean() -> None:
    """facebookresearch/mae models_vit.py with global_pool: the norm is fc_norm, after the mean."""
    plain = backbone(norm="fc_norm") | tensors({"head.weight": (5, 192), "head.bias": (5,)})
    pixels = images(32, 32)
    x = forward(plain, pixels, heads=3)[:, 1:].mean(1)
    reading = read(plain)
    assert_same(embed(reading, pixels), normed(x, plain["fc_norm.weight"], plain["fc_norm.bias"]))
    assert reading.architecture.facts["pooling"] == "mean of the patch tokens, then the last norm"


def test_dinov2_with_chunks_and_layer_scale() -> None:
    """facebookresearch/dinov2 dinov2/models/vision_transformer.py: BlockChunk, ls1, mask_token."""

    def block(index: int) -> str:
        return f"blocks.{index // 2}.{index}"

    plain = backbone(depth=4, patch=14, scale=True, block=block) | tensors({"mask_token": (1, 192)})
    reading = read({f"backbone.{name}": t for name, t in plain.items()})
    pixels = images(56, 56)
    expected = class_token(plain, pixels, heads=3, depth=4, block=block)
    assert_same(embed(reading, pixels), expected)
    assert "blocks.3.attn.qkv.weight" in reading.state
    assert not any(name.startswith("blocks.1.3.") for name in reading.state)
    assert reading.renamed == ("blocks.CHUNK.INDEX is blocks.INDEX: the index counts through all chunks",)


def test_dinov2_giant_has_a_gated_mlp() -> None:
    """facebookresearch/dinov2 dinov2/layers/swiglu_ffn.py: w12 and w3."""
    plain = backbone(patch=14, scale=True, gated=True)
    pixels = images(56, 56)
    assert_same(embed(read(plain), pixels), class_token(plain, pixels, heads=3))


def test_dinov2_with_registers() -> None:
    """facebookresearch/dinov2 vision_transformer.py: registers stand behind the class token, unplaced."""
    plain = backbone(patch=14, scale=True) | tensors({"register_tokens": (1, 4, 192), "mask_token": (1, 192)})
    reading = read(plain)
    pixels = images(56, 56)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3, registers="register_tokens"))
    assert reading.architecture.facts["registers"] == "4"
    assert "register_tokens" in reading.renamed[0]


def test_biases_that_are_absent_are_not_expected() -> None:
    plain, pixels = backbone(bias=False), images(32, 32)
    assert_same(embed(read(plain), pixels), class_token(plain, pixels, heads=3))


@pytest.mark.parametrize("name", ["vit_small_patch14_reg4_dinov2", "deit_tiny_distilled_patch16_224"])
def test_timm_names(name: str) -> None:
    """What timm saves of its own nets: registers, a distillation token."""
    torch.manual_seed(3)
    size = {} if "224" in name else {"img_size": 56}
    model = timm.create_model(name, depth=2, **size).eval()
    reading = read(model.state_dict())
    pixels = images(*reading.architecture.preprocess.size)
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(pixels), pre_logits=True).double()
    assert_same(embed(reading, pixels), expected)


def test_torchvision() -> None:
    """torchvision/models/vision_transformer.py, and the MLP names of its older files."""
    torch.manual_seed(2)
    model = TorchvisionViT(32, 8, num_layers=2, num_heads=3, hidden_dim=192, mlp_dim=40, num_classes=7).eval()
    state = {n: tensors({n: tuple(t.shape)})[n] for n, t in model.state_dict().items()}
    model.load_state_dict(state)
    model.heads = nn.Identity()
    pixels = images(32, 32)
    with torch.inference_mode():
        expected = model.double()(pixels.double())
    old = {n.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): t for n, t in state.items()}
    for names in (state, old):
        reading = read({f"vit.{name}": tensor for name, tensor in names.items()})
        assert_same(embed(reading, pixels), expected)
        assert "heads.head.weight" in reading.state


def mmpretrain(state: State, *, gated: bool = False) -> dict[str, Tensor]:
    """open-mmlab/mmpretrain mmpretrain/models/backbones/vision_transformer.py; FFN of mmcv."""
    first, second = ("ffn.w12", "ffn.w3") if gated else ("ffn.layers.0.0", "ffn.layers.1")
    names = {
        "patch_embed.proj": "patch_embed.projection",
        "blocks.": "layers.",
        ".norm1": ".ln1",
        ".norm2": ".ln2",
        "fc_norm": "ln2",
        "ls1.gamma": "attn.gamma1.weight",
        "ls2.gamma": "ffn.gamma2.weight" if gated else "ffn.gamma2.scale",
        "mlp.w12" if gated else "mlp.fc1": first,
        "mlp.w3" if gated else "mlp.fc2": second,
    }
    named = {}
    for name, tensor in state.items():
        for old, new in names.items():
            name = name.replace(old, new)
        named[re.sub("^norm", "ln1", name)] = tensor
    return named


@pytest.mark.parametrize("gated", [False, True])
def test_mmpretrain(gated: bool) -> None:
    plain, pixels = backbone(scale=True, gated=gated), images(32, 32)
    named = mmpretrain(plain, gated=gated)
    assert "layers.1.ffn.w12.bias" in named if gated else "layers.1.ffn.layers.0.0.bias" in named
    reading = read({f"backbone.{name}": t for name, t in named.items()})
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3))


def test_mmpretrain_on_the_mean() -> None:
    """out_type='avg_featmap' without final_norm, as mmpretrain fine-tunes MAE: ln2 after the mean."""
    plain, pixels = backbone(norm="fc_norm"), images(32, 32)
    x = forward(plain, pixels, heads=3)[:, 1:].mean(1)
    expected = normed(x, plain["fc_norm.weight"], plain["fc_norm.bias"])
    assert_same(embed(read(mmpretrain(plain)), pixels), expected)


TINY = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "image_size": 32,
    "patch_size": 8,
}

FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "ViT": lambda: transformers.ViTModel(transformers.ViTConfig(**TINY)),
    "ViT without qkv bias": lambda: transformers.ViTModel(transformers.ViTConfig(**TINY, qkv_bias=False)),
    "I-JEPA": lambda: transformers.IJepaModel(transformers.IJepaConfig(**TINY)),
    "DINOv2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**TINY)),
    "DINOv2, SwiGLU": lambda: transformers.Dinov2Model(
        transformers.Dinov2Config(**TINY, use_swiglu_ffn=True)
    ),
    "DINOv2 with registers": lambda: transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(**TINY)
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers(tmp_path: Path, family: str) -> None:
    """transformers' own classes: their state dict, and the names that they save (those of version 4)."""
    model = FAMILIES[family]().eval()
    model.load_state_dict(tensors({n: tuple(t.shape) for n, t in model.state_dict().items()}))
    model.save_pretrained(tmp_path)
    pixels = images(32, 32)
    with torch.inference_mode():
        tokens = model.double()(pixels.double()).last_hidden_state
    expected = tokens.mean(1) if family == "I-JEPA" else tokens[:, 0]
    saved = load_file(tmp_path / "model.safetensors")
    assert any(".attention.attention.query." in name for name in saved)
    for state in (model.float().state_dict(), saved):
        reading = read({f"vit.{name}": tensor for name, tensor in state.items()}, heads=4)
        assert_same(embed(reading, pixels), expected)
        eps = "1e-06" if family.startswith("DINOv2") else "1e-12"
        assert reading.architecture.facts["layer norm eps"] == eps


def test_published_widths_build_on_the_meta_device() -> None:
    for width, heads in HEADS.items():
        with torch.device("meta"):
            state = {n: torch.empty(t.shape) for n, t in backbone(width=width, hidden=8, rows=5).items()}
        reading = read(state)
        skeleton = reading.architecture.skeleton()
        assert match(reading.state, skeleton.state_dict()).complete
        assert skeleton.blocks[0].attn.num_heads == heads


@pytest.mark.parametrize(("size", "grid"), [((64, 112), "4x7"), ((112, 64), "7x4")])
def test_a_stated_grid_need_not_be_square(size: tuple[int, int], grid: str) -> None:
    plain = backbone(patch=16, rows=29)
    reading = read(plain, size=size)
    pixels = images(*size)
    assert_same(embed(reading, pixels), class_token(plain, pixels, heads=3))
    assert reading.architecture.facts["grid"] == grid
    assert reading.architecture.preprocess.size == size


REFUSED: dict[str, tuple[Callable[[], State], dict[str, object], str]] = {
    "not square": (
        lambda: backbone(patch=16, rows=29),
        {},
        r"28 patches of 16x16 pixels, which is no square grid.*size=64x112 makes the grid 4x7",
    ),
    "another size": (
        lambda: backbone(patch=16, rows=37),
        {"size": (224, 224)},
        r"36 patches.*size=224x224 does not make.*not resized silently.*size=96x96",
    ),
    "a size between patches": (lambda: backbone(patch=16, rows=37), {"size": (97, 97)}, "does not make"),
    "unknown width": (lambda: backbone(width=100), {}, "width 100.*Say it: heads="),
    "heads that do not divide": (lambda: backbone(), {"heads": 5}, "192 does not divide into 5"),
    "gray": (
        lambda: backbone() | tensors({"patch_embed.proj.weight": (192, 1, 8, 8)}),
        {},
        "takes 1 channel; sslaudit feeds RGB",
    ),
    "video": (
        lambda: backbone() | tensors({"patch_embed.proj.weight": (192, 3, 2, 8, 8)}),
        {},
        "video transformer",
    ),
    "no positions": (
        lambda: {n: t for n, t in backbone().items() if n != "pos_embed"},
        {},
        "no position table.*arch=timm:NAME",
    ),
    "more tokens than rows": (
        lambda: backbone() | tensors({"pos_embed": (1, 2, 192), "dist_token": (1, 1, 192)}),
        {},
        "fewer rows",
    ),
    "CLIP": (lambda: backbone() | tensors({"norm_pre.weight": (192,)}), {}, "CLIP's norm.*arch=timm:NAME"),
    "SigLIP": (
        lambda: backbone() | tensors({"attn_pool.latent": (1, 1, 192)}),
        {},
        "attention pooling.*arch=timm:NAME",
    ),
    "damaged": (lambda: backbone() | tensors({"pos_embed": (17,)}), {}, r"'pos_embed' has the shape \(17,\)"),
    "no MLP": (
        lambda: {n: t for n, t in backbone().items() if n != "blocks.0.mlp.fc1.weight"},
        {},
        "'blocks.0.mlp.fc1.weight' is missing",
    ),
    "two norms": (
        lambda: backbone() | tensors({"fc_norm.weight": (192,), "fc_norm.bias": (192,)}),
        {},
        "two last norms",
    ),
    "convolutional stem": (
        lambda: backbone() | tensors({"patch_embed.proj.0.weight": (24, 3, 3, 3)}),
        {},
        "convolutional stem",
    ),
    "one block in two chunks": (
        lambda: backbone(block="blocks.0.{}".format) | tensors({"blocks.1.1.norm1.weight": (192,)}),
        {},
        "two of its tensors are both 'blocks.1.norm1.weight'",
    ),
    "registers of another width": (
        lambda: backbone() | tensors({"register_tokens": (1, 4, 96)}),
        {},
        "different widths",
    ),
    "an unknown part of the embeddings": (
        lambda: {
            "embeddings.extra": torch.zeros(3),
            "encoder.layer.0.attention.attention.query.weight": torch.zeros(4, 4),
        },
        {},
        "embeddings.extra",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_built_is_said(case: str) -> None:
    state, hints, message = REFUSED[case]
    with pytest.raises(Unfit, match=f"(?s){message}"):
        read(state(), **hints)


CHANGES: dict[str, Callable[[dict[str, Tensor]], None]] = {
    "a tensor of a later block is missing": lambda s: s.pop("blocks.1.norm2.bias"),
    "the last norm is missing": lambda s: (s.pop("norm.weight"), s.pop("norm.bias")),
    "one bias is missing": lambda s: s.pop("blocks.1.attn.qkv.bias"),
    "a block has more": lambda s: s.update(tensors({"blocks.1.attn.rel_pos_bias": (4, 3)})),
    "the patches have a norm": lambda s: s.update(tensors({"patch_embed.norm.weight": (192,)})),
    "a block lies far behind": lambda s: s.update(tensors({"blocks.999999999.norm1.weight": (192,)})),
    "one width differs": lambda s: s.update(tensors({"blocks.1.mlp.fc2.weight": (192, 47)})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_does_not_match(change: str) -> None:
    state = dict(backbone())
    CHANGES[change](state)
    reading = read(state)
    assert not match(reading.state, reading.architecture.skeleton().state_dict()).complete


@pytest.mark.parametrize("part", ["query.weight", "value.bias"])
@pytest.mark.parametrize("stored", [None, torch.tensor(1.0), torch.zeros(3)])
def test_a_damaged_part_of_the_attention_does_not_match(
    tmp_path: Path, part: str, stored: Tensor | None
) -> None:
    FAMILIES["ViT"]().save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state[f"encoder.layer.1.attention.attention.{part}"]
    if stored is not None:
        state[f"encoder.layer.1.attention.attention.{part}"] = stored
    reading = read(state, heads=4)
    assert not match(reading.state, reading.architecture.skeleton().state_dict()).complete


def test_scalars_in_place_of_all_parts_do_not_match() -> None:
    state = FAMILIES["ViT"]().state_dict()
    state |= {f"layers.1.attention.{part}_proj.bias": torch.tensor(1.0) for part in "qkv"}
    reading = read(state, heads=4)
    assert not match(reading.state, reading.architecture.skeleton().state_dict()).complete
