"""Says what a folder is, when a folder is given as a checkpoint.

=====================================  =======================================================
folder                                 recognised by
=====================================  =======================================================
torch.distributed.checkpoint (FSDP)    ``.metadata`` and ``*.distcp``
DeepSpeed ZeRO                         ``zero_to_fp32.py``, ``*_optim_states.pt``, ``mp_rank_*``
Hugging Face repository                ``config.json`` and weights, or ``model_index.json``
unpacked PyTorch file                  ``data.pkl`` with ``data/`` or ``version``
checkpoint in shards                   ``*.safetensors.index.json``, ``*.bin.index.json``
TensorFlow SavedModel, checkpoint      ``saved_model.pb``, ``*.index`` with ``*.data-*``
weight files                           endings of checkpoints
images                                 endings of images, here or one folder deeper
=====================================  =======================================================
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from shlex import quote

_WEIGHTS = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".safetensors", ".onnx", ".pkl")
_IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
_LOOK_AT = 10_000
"""Entries looked at: a folder of a million images is named in no time."""


def describe(folder: Path, text: str) -> str:
    """What the folder ``text`` is and what to write instead; follows the folder's name."""
    try:
        names = sorted(entry.name for entry in islice(folder.iterdir(), _LOOK_AT))
    except OSError as error:
        return f"is a folder that cannot be opened: {error.strerror}"
    if not names:
        return "is an empty folder"
    base = text.rstrip("/\\") or text
    return (
        unpacked(folder)
        or _framework(set(names), base)
        or _weights(names, base)
        or _others(folder, names, base)
    )


def unpacked(folder: Path) -> str:
    """What to do with the folder that a PyTorch file was unpacked into; empty for other folders."""
    if not (folder / "data.pkl").is_file() or not (
        (folder / "data").is_dir() or (folder / "version").is_file()
    ):
        return ""
    whole = folder.absolute()
    return (
        "is an unpacked PyTorch file; use the original archive, or zip it again without compression:\n"
        f"  cd {quote(str(whole.parent))} && zip -0 -r {quote(whole.name + '.pth')} {quote(whole.name)}"
    )


def _framework(names: set[str], base: str) -> str:
    if ".metadata" in names and any(name.endswith(".distcp") for name in names):
        return (
            "is a sharded checkpoint of torch.distributed (FSDP); make one file of it:\n"
            "  python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            f"{quote(base)} {quote(base + '.pt')}"
        )
    if any("optim_states.pt" in name or name.startswith("mp_rank_") for name in names):
        return (
            "is a DeepSpeed checkpoint in parts; make one file of it with the zero_to_fp32.py that "
            "DeepSpeed wrote beside it"
        )
    if "zero_to_fp32.py" in names:
        return (
            "is a DeepSpeed checkpoint in parts; make one file of it:\n"
            f"  python {quote(base + '/zero_to_fp32.py')} {quote(base)} {quote(base + '.pt')}"
        )
    if "config.json" in names and _ends(names, (*_WEIGHTS, ".h5", ".msgpack", ".index.json")):
        return f"is a folder in the layout of the Hugging Face Hub; write 'hf:{base}'"
    if "saved_model.pb" in names:
        return "is a TensorFlow SavedModel; convert the weights to safetensors"
    if _ends(names, (".index",)) and any(".data-" in name for name in names):
        return "holds a TensorFlow checkpoint; convert the weights to safetensors"
    return ""


def _weights(names: list[str], base: str) -> str:
    if index := _ends(names, (".safetensors.index.json", ".bin.index.json")):
        return f"is a folder with a checkpoint in shards; name its index: '{base}/{index[0]}'"
    found = _ends(names, _WEIGHTS)
    if not found:
        return ""
    if len(found) == 1:
        return f"is a folder; name the file in it: '{base}/{found[0]}'"
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"is a folder of {len(found)} weight files; name one: {', '.join(found[:3])}{more}"


def _others(folder: Path, names: list[str], base: str) -> str:
    inner = [name for part in names[:20] if (folder / part).is_dir() for name in _listing(folder / part)]
    if _ends(names, _IMAGES) or _ends(inner, _IMAGES):
        return f"is a folder of images, not a checkpoint; images are named with --data '{base}'"
    deeper = [f"{part}/{name}" for part in names[:20] for name in _ends(_listing(folder / part), _WEIGHTS)]
    if deeper:
        more = f" and {len(deeper) - 3} more" if len(deeper) > 3 else ""
        return f"is a folder; deeper in it lie {', '.join(deeper[:3])}{more}; name one"
    return f"is a folder without weight files ({', '.join(names[:3])}{' ...' if len(names) > 3 else ''})"


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in islice(folder.iterdir(), 100))
    except OSError:
        return []


def _ends(names: Iterable[str], ends: tuple[str, ...]) -> list[str]:
    return [name for name in names if name.lower().endswith(ends)]
