"""How images become inputs, from the record of it that timm keeps in a ``config.json``."""

from collections.abc import Mapping
from typing import Any

from sslaudit.encoder import Preprocess


def recorded(record: Mapping[str, Any], *, size: int | None = None) -> Preprocess:
    """From the ``pretrained_cfg`` alone; ``size`` in pixels keeps its crop share."""
    from timm.data import resolve_data_config

    return from_config(resolve_data_config(pretrained_cfg=dict(record)), size)


def from_config(config: Mapping[str, Any], size: int | None) -> Preprocess:
    """From a data configuration that timm resolved."""
    _, height, width = config["input_size"]
    return Preprocess(
        size=(size, size) if size else (height, width),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        crop=float(config["crop_pct"]),
        source="timm",
    )


def assumed(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a ``config.json`` leaves to timm's defaults, in sentences that an override can settle."""
    record = config.get("pretrained_cfg", config)
    groups = (
        ("preprocessing: ", ("mean", "std")),
        ("input size: ", ("input_size",)),
        ("", ("interpolation", "crop_pct")),
    )
    silent = ((begin, [key for key in keys if key not in record]) for begin, keys in groups)
    return tuple(
        f"{begin}config.json names no {', '.join(keys)}; timm's defaults assumed"
        for begin, keys in silent
        if keys
    )
