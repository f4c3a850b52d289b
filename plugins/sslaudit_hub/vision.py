"""Image models of ``transformers``: built from their config, loaded strictly, pooled to (B, D)."""

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from sslaudit.errors import EncoderError, UsageError
from sslaudit_hub.strict import ignored_or_refused

Pool = Literal["cls", "mean", "pooler"]

_CLASS_TOKENS = ("cls_token", "class_embedding", "class_token")
# timm pools as its model does; the last layer norm of CLIP's image tower is in its pooler
_OWN_POOLING = ("timm_wrapper", "clip_vision_model")
_VIDEO = ("num_frames", "tubelet_size")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """The class that takes images, and its config; nothing is built yet."""

    kind: Any
    config: Any

    @property
    def image_size(self) -> int:
        """The side that the model was made for, in pixels; 224 when it takes any."""
        size = getattr(self.config, "image_size", None) or 224
        return int(size[0] if isinstance(size, list | tuple) else size)


class Pooled(nn.Module):
    """A transformers model whose output is one vector for each image."""

    def __init__(self, model: nn.Module, config: Any, image_size: int) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.image_size = image_size
        self.takes = set(inspect.signature(model.forward).parameters)
        self.pool: Pool = "mean"

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, D)."""
        return pooled(self.outputs(images), self.pool, skip=self.extra_tokens)

    def outputs(self, images: Tensor) -> Any:
        """What the model returns: ``last_hidden_state`` and, from many, ``pooler_output``."""
        more: dict[str, Any] = {}
        if "interpolate_pos_encoding" in self.takes and images.shape[-1] != self.image_size:
            more["interpolate_pos_encoding"] = True
        if "noise" in self.takes:  # masked autoencoders shuffle the patches by it; in order is no shuffle
            patches = (images.shape[-2] // self.config.patch_size) * (
                images.shape[-1] // self.config.patch_size
            )
            more["noise"] = torch.arange(patches, device=images.device).expand(len(images), -1)
        return self.model(pixel_values=images, **more)

    @property
    def class_token(self) -> bool:
        """Whether the first token stands for the image."""
        return any(name.endswith(_CLASS_TOKENS) for name in self.model.state_dict())

    @property
    def extra_tokens(self) -> int:
        """Tokens in front of those of the patches: class, distillation, registers."""
        distilled = any(name.endswith("distillation_token") for name in self.model.state_dict())
        return self.class_token + distilled + int(getattr(self.config, "num_register_tokens", 0) or 0)


def pooled(outputs: Any, pool: Pool, *, skip: int) -> Tensor:
    """(B, D) of tokens (B, T, D), the first ``skip`` of them no patches, or of maps (B, D, H, W)."""
    if pool == "pooler":
        return cast(Tensor, outputs.pooler_output).flatten(1)
    hidden = cast(Tensor, outputs.last_hidden_state)
    if hidden.ndim == 4:
        return hidden.mean((2, 3))
    return hidden[:, 0] if pool == "cls" else hidden[:, skip:].mean(1)


def choose_pool(model: Pooled, outputs: Any, asked: str | None, name: str) -> Pool:
    """The pooling asked for, or the one that the output calls for.

    Raises ``UsageError`` when ``asked`` is none of the three or the model has no such output.
    """
    hidden = getattr(outputs, "last_hidden_state", None)
    if not isinstance(hidden, Tensor) or hidden.ndim not in (3, 4):
        raise EncoderError(f"'{name}' is no image encoder: its model returns no last_hidden_state.")
    can: dict[Pool, bool] = {
        "cls": hidden.ndim == 3 and model.class_token,
        "pooler": isinstance(getattr(outputs, "pooler_output", None), Tensor),
        "mean": True,
    }
    if asked is not None:
        for pool, there in can.items():
            if pool == asked and there:
                return pool
        have = ", ".join(pool for pool, there in can.items() if there)
        raise UsageError(f"pool={asked} does not fit '{name}'; it has: {have}.")
    own = getattr(model.config, "model_type", "") in _OWN_POOLING
    order: tuple[Pool, ...] = ("pooler", "cls", "mean") if own else ("cls", "pooler", "mean")
    return next(pool for pool in order if can[pool])


def blueprint(folder: Path, name: str, *, trust: bool) -> Blueprint:
    """The model that ``config.json`` in ``folder`` describes, when it embeds single RGB images.

    Raises ``EncoderError`` when transformers is not installed or does not know it, and for models
    of text, video or other than 3 channels.
    """
    transformers = _library(name)
    try:
        with silent():
            config = transformers.AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=trust
            )
    except Exception as error:  # transformers raises what its own checks raise
        raise _unknown(error, name, transformers.__version__) from None
    kind: Any = transformers.AutoModel
    if type(config) in transformers.MODEL_MAPPING:
        kind, config = _image_part(transformers.MODEL_MAPPING, config)
        if getattr(kind, "main_input_name", "") != "pixel_values":
            raise EncoderError(
                f"'{name}' is no image encoder: a model of type '{config.model_type}' "
                f"takes {getattr(kind, 'main_input_name', 'other input')}."
            )
    elif not trust:
        raise EncoderError(
            f"'{name}' is of type '{config.model_type}', for which transformers has no encoder."
        )
    if any(hasattr(config, attribute) for attribute in _VIDEO):
        raise EncoderError(f"'{name}' takes videos ('{config.model_type}'), not single images.")
    channels = getattr(config, "num_channels", 3)
    if channels != 3:
        raise EncoderError(f"'{name}' takes {channels} channels; sslaudit feeds 3.")
    if hasattr(config, "mask_ratio"):  # a masked autoencoder would hide most of the image at random
        config.mask_ratio = 0.0
    return Blueprint(kind, config)


def fresh(plan: Blueprint, folder: Path, seed: int, *, trust: bool) -> nn.Module:
    """The model with weights drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]), silent():
        torch.default_generator.manual_seed(seed)
        if hasattr(plan.kind, "from_config"):
            return cast(nn.Module, plan.kind.from_config(plan.config, trust_remote_code=trust)).eval()
        return cast(nn.Module, plan.kind(plan.config)).eval()


def load_weights(
    plan: Blueprint, folder: Path, name: str, *, safetensors: bool, pool: str | None, trust: bool
) -> tuple[nn.Module, int, tuple[str, ...], tuple[str, ...]]:
    """The model with the weights of ``folder``, its count of tensors, ignored heads, and assumptions.

    Raises ``WeightsMismatch`` unless every tensor was in the file. A pooler that the file lacks and
    that is not asked for is removed.
    """
    try:
        with torch.random.fork_rng(devices=[]), silent():
            torch.default_generator.manual_seed(0)  # what is not in the file, and is refused below
            model, info = plan.kind.from_pretrained(
                folder,
                config=plan.config,
                local_files_only=True,
                trust_remote_code=trust,
                use_safetensors=safetensors,
                ignore_mismatched_sizes=True,  # told below, with counts
                output_loading_info=True,
            )
    except Exception as error:  # transformers raises what its own checks raise
        reason = " ".join(str(error).split())[:200]
        raise EncoderError(f"transformers cannot load '{name}': {type(error).__name__}: {reason}") from None
    missing = set(info["missing_keys"])
    pooler = {key for key in missing if key.startswith("pooler.")}
    notes: tuple[str, ...] = ()
    if pooler and pool != "pooler":
        model.pooler = None
        missing -= pooler
        notes = ("the file has no pooler; it is left out and not used",)
    expected = set(model.state_dict())
    prefix = f"{model.base_model_prefix}." if getattr(model, "base_model_prefix", "") else ""
    ignored = ignored_or_refused(
        name,
        type(model).__name__,
        expected=expected,
        missing=missing,
        unexpected={key.removeprefix(prefix) for key in info["unexpected_keys"]},
        reshaped=[
            f"{key}: {tuple(f)} in the file, {tuple(w)} wanted" for key, f, w in info["mismatched_keys"]
        ],
    )
    return model.float().eval(), len(expected), ignored, notes


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """transformers reports what it loads in tables and bars; what matters is said once, in the audit."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _image_part(classes: Mapping[Any, Any], config: Any) -> tuple[Any, Any]:
    """The class of the model, or of the image tower when it has one for text beside it."""
    kind = classes[type(config)]
    tower = getattr(config, "vision_config", None)
    if tower is not None and type(tower) in classes:
        kind, config = classes[type(tower)], tower
    return (kind[0] if isinstance(kind, list | tuple) else kind), config


def _library(name: str) -> Any:
    try:
        import transformers
    except ImportError:
        raise EncoderError(f"'{name}' needs the package transformers:\npip install 'sslaudit[hub]'") from None
    return transformers


def _unknown(error: Exception, name: str, version: str) -> EncoderError:
    if "does not recognize" in str(error) or "model_type" in str(error):
        return EncoderError(
            f"transformers {version} does not know the model type in config.json of '{name}'; "
            "a newer transformers may."
        )
    reason = " ".join(str(error).split())[:200]
    return EncoderError(f"config.json of '{name}' cannot be used: {type(error).__name__}: {reason}")
