"""ConvNeXt and ConvNeXt V2: how projects name the tensors, and which net the shapes say.

====================  ==============================  ==============================================
dialect               anchor                          brought to timm's names by
====================  ==============================  ==============================================
timm                  ``stages.0.blocks.0.conv_dw``   nothing; a classifier is set aside
facebookresearch      ``stages.0.0.dwconv``           renaming; ``downsample_layers.0`` is the stem
mmpretrain            ``stages.0.0.depthwise_conv``   the same
torchvision           ``features.1.0.layer_scale``    renaming; even ``features`` are downsampling
transformers          ``stages.0.layers.0.dwconv``    renaming
====================  ==============================  ==============================================
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from sslaudit.encoder import Preprocess
from sslaudit_checkpoints.architectures.base import Architecture, Dialect, Hints, Reading, State, Unfit
from sslaudit_checkpoints.architectures.shapes import count, refuse_gray, shape

_NAMES: dict[tuple[int, tuple[int, ...]], str] = {
    (40, (2, 2, 6, 2)): "atto",
    (48, (2, 2, 6, 2)): "femto",
    (64, (2, 2, 6, 2)): "pico",
    (80, (2, 2, 8, 2)): "nano",
    (96, (3, 3, 9, 3)): "tiny",
    (96, (3, 3, 27, 3)): "small",
    (128, (3, 3, 27, 3)): "base",
    (192, (3, 3, 27, 3)): "large",
    (256, (3, 3, 27, 3)): "xlarge",
    (352, (3, 3, 27, 3)): "huge",
}
"""By width of the first stage and blocks of each."""

_OFFICIAL = (
    (r"^downsample_layers\.0\.", "stem."),
    (r"^downsample_layers\.([1-3])\.", r"stages.\1.downsample."),
    (r"^stages\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^(stages\..*)\.(?:dwconv|depthwise_conv)\.", r"\1.conv_dw."),
    (r"^(stages\..*)\.(?:pwconv|pointwise_conv)([12])\.", r"\1.mlp.fc\2."),
    (r"^(stages\..*)\.grn\.gamma$", r"\1.mlp.grn.weight"),
    (r"^(stages\..*)\.grn\.beta$", r"\1.mlp.grn.bias"),
    (r"^norm3?\.", "final_norm."),
)

_TORCHVISION = (
    (r"^features\.0\.", "stem."),
    (r"^features\.([246])\.", lambda m: f"stages.{int(m[1]) // 2}.downsample."),
    (r"^features\.([1357])\.(\d+)\.", lambda m: f"stages.{int(m[1]) // 2}.blocks.{m[2]}."),
    (r"^(stages\..*)\.block\.0\.", r"\1.conv_dw."),
    (r"^(stages\..*)\.block\.2\.", r"\1.norm."),
    (r"^(stages\..*)\.block\.3\.", r"\1.mlp.fc1."),
    (r"^(stages\..*)\.block\.5\.", r"\1.mlp.fc2."),
    (r"^(stages\..*)\.layer_scale$", r"\1.gamma"),
    (r"^classifier\.0\.", "final_norm."),
)

_TRANSFORMERS = (
    (r"^embeddings\.patch_embeddings\.", "stem.0."),
    (r"^embeddings\.layernorm\.", "stem.1."),
    (r"^encoder\.stages\.(\d)\.downsampling_layer\.", r"stages.\1.downsample."),
    (r"^encoder\.stages\.(\d)\.layers\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^(stages\..*)\.dwconv\.", r"\1.conv_dw."),
    (r"^(stages\..*)\.layernorm\.", r"\1.norm."),
    (r"^(stages\..*)\.pwconv([12])\.", r"\1.mlp.fc\2."),
    (r"^(stages\..*)\.grn\.", r"\1.mlp.grn."),
    (r"^(stages\..*)\.layer_scale_parameter$", r"\1.gamma"),
    (r"^layernorm\.", "final_norm."),
)

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that decides a ConvNeXt."""

    depths: tuple[int, ...]
    dims: tuple[int, ...]
    kernels: tuple[int, ...]
    """Of the depthwise convolutions, by stage."""
    patch: int
    """Kernel and stride of the stem."""
    layer_scale: bool
    grn: bool
    """Global response normalisation: ConvNeXt V2."""
    conv_mlp: bool
    """1x1 convolutions in place of linear layers."""
    bias: bool
    norm_first: bool
    """The last norm stands before the pooling, as timm can build it; the paper's stands after."""
    last_eps: float

    @property
    def name(self) -> str:
        """``convnext_tiny``, ``convnextv2_atto``."""
        kind = "convnextv2" if self.grn else "convnext"
        known = _NAMES.get((self.dims[0], self.depths))
        if known and self.dims == tuple(self.dims[0] * 2**stage for stage in range(4)):
            return f"{kind}_{known}"
        return (
            f"{kind} of depths {'-'.join(map(str, self.depths))} and widths {'-'.join(map(str, self.dims))}"
        )


def infer(state: State, last_eps: float) -> Plan:
    """The ConvNeXt whose shapes are those of ``state``, in timm's names. Raises ``Unfit``."""
    stages = count(state, r"stages\.(\d+)\.")
    if stages != 4:
        raise Unfit(f"it is a ConvNeXt of {stages} stages; those with four are known.")
    _, channels, patch, _ = shape(state, "stem.0.weight", 4)
    refuse_gray(channels)
    if state["stem.0.weight"].shape[2:] != (patch, patch) or "stem.1.weight" not in state:
        raise Unfit("its stem is not one convolution with a norm; name the architecture: arch=timm:NAME")
    if state["stem.1.weight"].ndim != 1:
        raise Unfit("its stem has several convolutions; name the architecture: arch=timm:NAME")
    depthwise = [shape(state, f"stages.{stage}.blocks.0.conv_dw.weight", 4) for stage in range(4)]
    return Plan(
        depths=tuple(count(state, rf"stages\.{stage}\.blocks\.(\d+)\.") for stage in range(4)),
        dims=tuple(sizes[0] for sizes in depthwise),
        kernels=tuple(sizes[2] for sizes in depthwise),
        patch=patch,
        layer_scale=any(name.startswith("stages.") and name.endswith(".gamma") for name in state),
        grn=any(name.endswith(".mlp.grn.weight") for name in state),
        conv_mlp="stages.0.blocks.0.mlp.fc1.weight" in state
        and state["stages.0.blocks.0.mlp.fc1.weight"].ndim == 4,
        bias="stem.0.bias" in state,
        norm_first="norm_pre.weight" in state,
        last_eps=last_eps,
    )


def architecture(plan: Plan, hints: Hints) -> Architecture:
    """The architecture of ``plan``. Raises ``Unfit`` for images that are too small."""
    size = hints.size or (224, 224)
    if min(size) < (least := plan.patch * 8):
        raise Unfit(
            f"images of {size[0]}x{size[1]} vanish in its strides; it needs {least} pixels: size={least}"
        )
    order = "last norm, then global average" if plan.norm_first else "global average, then the last norm"
    return Architecture(
        name=plan.name,
        depth="-".join(map(str, plan.depths)),
        published=(plan.dims[0], plan.depths) in _NAMES,
        build=lambda: build(plan),
        preprocess=Preprocess(size=size, crop=0.875 if size == (224, 224) else 1.0, interpolation="bicubic"),
        facts={"stem": f"patches of {plan.patch}", "pooling": order, "last norm eps": f"{plan.last_eps:g}"},
    )


def build(plan: Plan) -> nn.Module:
    """The backbone (B, 3, H, W) -> (B, D) with fresh weights."""
    from timm.models.convnext import ConvNeXt

    model = ConvNeXt(
        num_classes=0,
        depths=plan.depths,
        dims=plan.dims,
        kernel_sizes=plan.kernels,
        patch_size=plan.patch,
        ls_init_value=1e-6 if plan.layer_scale else None,
        use_grn=plan.grn,
        conv_mlp=plan.conv_mlp,
        conv_bias=plan.bias,
        head_norm_first=plan.norm_first,
    )
    last = model.norm_pre if plan.norm_first else model.head.norm
    last.eps = plan.last_eps
    return model


def _reader(rules: Rules, said: str, last_eps: float = 1e-6) -> Callable[[State, Hints], Reading]:
    def read(state: State, hints: Hints) -> Reading:
        named: dict[str, Tensor] = {}
        for old, tensor in state.items():
            name = _translate(old, rules)
            if name in named:
                raise Unfit(f"two of its tensors are both '{name}', one of them written '{old}'.")
            # torchvision's layer scale is (D, 1, 1), the official norm of V2 (1, 1, 1, D)
            flat = name.startswith("stages.") and name.endswith((".gamma", ".grn.weight", ".grn.bias"))
            named[name] = tensor.flatten() if flat else tensor
        plan = infer(named, last_eps)
        return Reading(architecture=architecture(plan, hints), state=named, renamed=(said,) if said else ())

    return read


def _translate(name: str, rules: Rules) -> str:
    new = name
    for pattern, replacement in rules:
        new = re.sub(pattern, replacement, new)
    if new.startswith("final_norm."):
        return new.replace("final_norm", "head.norm")
    # 'head' holds nothing but the last norm here: a classifier of that name stands beside the backbone
    return re.sub(r"^head\.(?!norm\.)" if not rules else r"^head\.", "classifier.", new)


DIALECTS = (
    Dialect(
        name="ConvNeXt (timm)",
        anchor=re.compile(r"(?<![^.])stages\.0\.blocks\.0\.conv_dw\.weight$"),
        read=_reader((), ""),
    ),
    Dialect(
        name="ConvNeXt (facebookresearch, mmpretrain)",
        anchor=re.compile(r"(?<![^.])stages\.0\.0\.(?:dwconv|depthwise_conv)\.weight$"),
        read=_reader(_OFFICIAL, "facebookresearch's names are timm's here: downsample_layers.0 is stem"),
    ),
    Dialect(
        name="ConvNeXt (torchvision)",
        anchor=re.compile(r"(?<![^.])features\.1\.0\.layer_scale$"),
        read=_reader(_TORCHVISION, "torchvision's names are timm's here: features.1 is stages.0"),
    ),
    Dialect(
        name="ConvNeXt (transformers)",
        anchor=re.compile(r"(?<![^.])encoder\.stages\.0\.layers\.0\.dwconv\.weight$"),
        # ConvNextConfig.layer_norm_eps, which is of the last norm alone
        read=_reader(_TRANSFORMERS, "transformers' names are timm's here: encoder.stages is stages", 1e-12),
    ),
)
