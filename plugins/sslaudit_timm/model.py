"""timm models without classifier, and their preprocessing."""

import contextlib
import difflib
from collections.abc import Iterator

import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import logging as hub_logging
from timm.data import resolve_model_data_config
from timm.models import parse_model_name
from torch import nn

from sslaudit.encoder import Preprocess
from sslaudit.errors import EncoderError, EncoderNotFound


def build(name: str, *, pretrained: bool, pool: str | None = None, size: int | None = None) -> nn.Module:
    """The model ``name`` with its classifier removed, in eval mode.

    Raises ``EncoderNotFound`` for a name that timm lacks and ``EncoderError`` when the weights
    cannot be fetched or the options do not fit.
    """
    _check_name(name)
    options: dict[str, object] = {"num_classes": 0}
    if pool is not None:
        options["global_pool"] = pool
    try:
        with torch.random.fork_rng(devices=[]), _quiet_hub():
            model = timm.create_model(name, pretrained=pretrained, **_sized(name, size), **options)
    except LocalEntryNotFoundError as error:
        raise EncoderError(
            f"the weights of timm:{name} are not in the local cache, and the hub cannot be reached. "
            f"With a file of your own: file,arch=timm:{name}:PATH."
        ) from error
    except OSError as error:  # all else that the hub client raises: a missing repository, no access
        reason = " ".join(str(error).split())[:160]
        raise EncoderError(f"the weights of timm:{name} cannot be fetched: {reason}") from error
    except (RuntimeError, TypeError, AssertionError, ValueError) as error:
        raise EncoderError(f"timm cannot build timm:{name}: {' '.join(str(error).split())[:200]}") from error
    return model.eval()


def preprocessing(model: nn.Module, *, size: int | None = None) -> Preprocess:
    """What timm's evaluation transform does for this model.

    An input size of one's own keeps the crop share of the model's record.
    """
    config = resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    if channels != 3:
        raise EncoderError(f"the model takes {channels} channels; sslaudit feeds 3.")
    return Preprocess(
        size=(size, size) if size else (height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        crop=float(config["crop_pct"]),
        source="timm",
    )


def facts(model: nn.Module) -> dict[str, str]:
    """Licence, source and pooling, as far as timm records them."""
    config = getattr(model, "pretrained_cfg", None) or {}
    found = {
        "licence": config.get("license"),
        "source": config.get("hf_hub_id") or config.get("url") or config.get("file"),
        "pretraining": config.get("tag"),
        "pooling": _pooling(model),
    }
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def _pooling(model: nn.Module) -> str | None:
    pool = getattr(model, "global_pool", None)
    return pool if isinstance(pool, str) else getattr(pool, "pool_type", None)


@contextlib.contextmanager
def _quiet_hub() -> Iterator[None]:
    """The hub client names its retries one by one; what came of them is said once, as an error."""
    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        hub_logging.set_verbosity(before)


def _check_name(name: str) -> None:
    source, architecture = parse_model_name(name)
    if source in ("hf-hub", "local-dir"):
        return
    base = str(architecture).split(".")[0]
    if not timm.is_model(base):
        close = difflib.get_close_matches(base, timm.list_models(), n=3, cutoff=0.6)
        hint = f" Did you mean {', '.join(close)}?" if close else " `timm.list_models()` lists the names."
        raise EncoderNotFound(f"timm has no model '{name}'.{hint}")


def _sized(name: str, size: int | None) -> dict[str, object]:
    """Models with a position table must be told their input size; convolutional ones refuse it."""
    if size is None:
        return {}
    base = parse_model_name(name)[1].split(".")[0]
    return {"img_size": size} if base.startswith(("vit", "deit", "swin", "beit", "eva", "mixer")) else {}
