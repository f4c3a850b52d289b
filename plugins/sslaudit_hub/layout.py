"""What a repository holds: which format, which weight files, and whether it brings code."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from sslaudit.errors import EncoderError, UnreadableFile, UnsafeFile
from sslaudit.refs import WEIGHT_SUFFIXES
from sslaudit_hub.refusals import not_cached
from sslaudit_hub.repository import Repository

Format = Literal["timm", "transformers", "plain"]

_WHOLE = ("model.safetensors", "pytorch_model.bin")
# open_clip repositories hold timm weights under names of their own
_OTHERS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_SHARD = re.compile(r"(?P<stem>model|pytorch_model)-\d+-of-\d+\.(?P<kind>safetensors|bin)")
_NOT_WEIGHTS = re.compile(r"optimizer|scheduler|training_args|rng_state|scaler", re.IGNORECASE)


def format_of(config: Mapping[str, Any]) -> Format:
    """Which library the ``config.json`` is for."""
    if "model_type" in config:
        return "transformers"
    return "timm" if "architecture" in config else "plain"


def weights_of(repository: Repository, format_: Format = "timm") -> tuple[str, ...]:
    """The files whose tensors are the model, safetensors before pickle; shards come with their index.

    Raises ``EncoderError`` when there is none, or more than one that could be meant.
    """
    files = repository.files
    for kind, whole in zip(("safetensors", "bin"), _WHOLE, strict=True):
        if whole in files:
            return (whole,)
        index = f"{whole}.index.json"
        if index in files:
            shards = (name for name in files if (m := _SHARD.fullmatch(name)) and m["kind"] == kind)
            return (index, *sorted(shards))
    named: list[str] = []
    if format_ != "transformers":
        named = [name for name in _OTHERS if name in files] or plain_weights(repository)
    if len(named) == 1 or (named and named[0] in _OTHERS):
        return (named[0],)
    if named:
        raise EncoderError(
            f"'{repository.name}' holds {len(named)} weight files ({', '.join(named[:3])}"
            f"{', ...' if len(named) > 3 else ''}); download the one that is meant and name it: file:PATH."
        )
    if repository.absent:
        raise not_cached(f"the weight file of '{repository.name}'", repository.absent)
    raise UnreadableFile(f"'{repository.name}' holds no weights: no model.safetensors, no pytorch_model.bin.")


def plain_weights(repository: Repository) -> list[str]:
    """Every file at the top that may be a checkpoint."""
    return sorted(
        name
        for name in repository.files
        if "/" not in name and name.lower().endswith(WEIGHT_SUFFIXES) and not _NOT_WEIGHTS.search(name)
    )


def size_of(repository: Repository, files: tuple[str, ...]) -> int | None:
    """Bytes of ``files`` together; None when the hub does not say."""
    sizes = [repository.files[file] for file in files]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def refuse_code(name: str, config: Mapping[str, Any]) -> None:
    """Raises ``UnsafeFile`` when the model is Python code that the repository ships."""
    if modules := shipped_code(config):
        raise UnsafeFile(
            f"'{name}' ships Python code ({', '.join(modules)}), which was not run; "
            "pass --trust-remote-code to run it."
        )


def shipped_code(config: Mapping[str, Any]) -> list[str]:
    """The Python files that ``auto_map`` names, ``modeling_x.py``, each once."""
    table = config.get("auto_map")
    if not table:
        return []
    classes = table.values() if isinstance(table, Mapping) else [table]
    flat = [one for value in classes for one in (value if isinstance(value, list) else [value])]
    # `other/repo--modeling_x.Class` takes the file from another repository
    return sorted({f"{str(one).rpartition('.')[0] or one}.py".replace("--", "/") for one in flat if one})
