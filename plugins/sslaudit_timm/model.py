"""timm models without classifier, with every tensor accounted for, and their preprocessing."""

import contextlib
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import parse_model_name
from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit.errors import EncoderError, EncoderNotFound
from sslaudit_hub.timm_preprocessing import from_config

_COUNTER = "num_batches_tracked"


@dataclass(slots=True)
class Loading:
    """What timm put into the model: names and shapes, of the model and of the weights it was given."""

    expected: dict[str, torch.Size] = field(default_factory=dict)
    given: dict[str, torch.Size] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """Tensors of the model that were not given.

        Files before torch 0.4.1 lack the counters of batch norm, which evaluation does not read.
        """
        counted = any(name.endswith(_COUNTER) for name in self.given)
        missing = [name for name in self.expected if name not in self.given]
        return missing if counted else [name for name in missing if not name.endswith(_COUNTER)]

    @property
    def unexpected(self) -> list[str]:
        """Tensors that were given and that the model lacks."""
        return [name for name in self.given if name not in self.expected]

    @property
    def reshaped(self) -> list[str]:
        """Tensors given in another shape, in words."""
        return [
            f"{name}: {tuple(self.given[name])} in the file, {tuple(shape)} wanted"
            for name, shape in self.expected.items()
            if self.given.get(name, shape) != shape
            and not (name.endswith(_COUNTER) and self.given[name].numel() == 1)
        ]


def build(
    name: str,
    label: str,
    architecture: str,
    *,
    pretrained: bool,
    weights: Path | None = None,
    pool: str | None = None,
    size: int | None = None,
) -> tuple[nn.Module, Loading]:
    """timm's model ``name`` with its classifier removed, in eval mode, and what was loaded.

    ``label`` is the reference as the user wrote it. ``weights`` stands in for what timm would
    fetch. Raises ``EncoderError`` when timm cannot build it, or its own download fails.
    """
    options: dict[str, Any] = {"num_classes": 0, **_sized(architecture, size)}
    if pool is not None:
        options["global_pool"] = pool
    if weights is not None:
        overlay = {"file": str(weights), "source": None, "custom_load": False}
        options["pretrained_cfg_overlay"] = overlay
    loading = Loading()
    try:
        with torch.random.fork_rng(devices=[]), _recorded(loading):
            model = timm.create_model(name, pretrained=pretrained, **options)
    except OSError as error:  # timm's own download of a URL
        raise EncoderError(
            f"the weights of {label} cannot be fetched from {_url(name)}, where timm keeps them: "
            f"{type(error).__name__}. With a file of your own: file,arch={label}:PATH."
        ) from error
    except (RuntimeError, TypeError, AssertionError, ValueError, KeyError, AttributeError) as error:
        if loading.reshaped:
            return nn.Identity(), loading  # the caller says which
        raise EncoderError(f"timm cannot build {label}: {' '.join(str(error).split())[:200]}") from error
    return model.eval(), loading


def check_name(name: str) -> None:
    """Raises ``EncoderNotFound``, with near names, when timm's registry has no ``name``."""
    base = name.split(".")[0]
    if not timm.is_model(base):
        close = difflib.get_close_matches(base, timm.list_models(), n=3, cutoff=0.6)
        hint = f" Did you mean {', '.join(close)}?" if close else " `timm.list_models()` lists the names."
        raise EncoderNotFound(f"timm has no model '{name}'.{hint}")


def check_channels(config: Mapping[str, Any], label: str) -> None:
    """Raises ``EncoderError`` when the model of a ``config.json`` does not take 3 channels."""
    shape = config.get("pretrained_cfg", config).get("input_size") or (3,)
    channels = (config.get("model_args") or {}).get("in_chans") or shape[0]
    if channels != 3:
        raise EncoderError(f"{label} takes {channels} channels; sslaudit feeds 3.")


def preprocessing(model: nn.Module, *, size: int | None = None) -> Preprocess:
    """What timm's evaluation transform does for this model.

    An input size of one's own keeps the crop share of the model's record.
    """
    return from_config(resolve_model_data_config(model), size)


def facts(model: nn.Module) -> dict[str, str]:
    """Licence, pretraining and pooling, as far as timm records them."""
    config = getattr(model, "pretrained_cfg", None) or {}
    found = {
        "licence": config.get("license"),
        "pretraining": config.get("tag"),
        "pooling": _pooling(model),
    }
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def classifier_of(model: nn.Module) -> tuple[str, ...]:
    """Names of the classifier's layers, which were removed."""
    names = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


@contextlib.contextmanager
def _recorded(loading: Loading) -> Iterator[None]:
    """Notes what ``load_state_dict`` is given inside, and leaves the judgement to the caller.

    timm asks for ``strict`` or not by what a record says of the classifier, and returns nothing.
    """
    original = nn.Module.load_state_dict

    def load_state_dict(self: nn.Module, state_dict: Mapping[str, Any], strict: bool = True) -> Any:
        loading.expected = {name: tensor.shape for name, tensor in self.state_dict().items()}
        loading.given = {name: tensor.shape for name, tensor in state_dict.items()}
        return original(self, state_dict, strict=False)

    nn.Module.load_state_dict = load_state_dict  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]


def _pooling(model: nn.Module) -> str | None:
    pool = getattr(model, "global_pool", None)
    return pool if isinstance(pool, str) else getattr(pool, "pool_type", None)


def _url(name: str) -> str:
    config = timm.models.get_pretrained_cfg(parse_model_name(name)[1])
    return str(config.url if config else "")


def _sized(architecture: str, size: int | None) -> dict[str, object]:
    """Models with a position table must be told their input size; convolutional ones refuse it."""
    if size is None:
        return {}
    tables = ("vit", "deit", "swin", "beit", "eva", "mixer")
    return {"img_size": size} if architecture.startswith(tables) else {}
