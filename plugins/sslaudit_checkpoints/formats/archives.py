"""Tells the zip archives apart, by the names of their records.

=====================================  =======================================================
archive                                recognised by
=====================================  =======================================================
PyTorch checkpoint                     ``*/data.pkl``
TorchScript                            ``*/constants.pkl`` and ``*/data.pkl``
torch.export (.pt2)                    ``*/archive_format``, ``serialized_exported_program.json``
numpy (.npz)                           every record ends in ``.npy``
Keras 3 (.keras)                       ``model.weights.h5``
truncated                              no central directory at the end of the file
=====================================  =======================================================
"""

import zipfile
from pathlib import Path
from typing import Literal

from sslaudit_checkpoints.formats.opened import Unread


def archive_kind(path: Path) -> Literal["zip", "torchscript"]:
    """Which PyTorch archive the zip file is. Raises ``Unread`` for the others."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        raise Unread(
            f"is truncated or damaged: its {path.stat().st_size:,} bytes begin a zip archive, and the "
            "end of the archive is missing; copy or download it again"
        ) from None
    except (ValueError, OSError, NotImplementedError, EOFError) as error:
        raise Unread(f"is a damaged zip archive ({type(error).__name__})") from None
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        return "torchscript" if "constants.pkl" in last else "zip"
    if "archive_format" in last or "serialized_exported_program.json" in last:
        raise Unread("is a program of torch.export, not the weights; save model.state_dict()")
    if names and all(name.endswith(".npy") for name in names):
        raise Unread("is an archive of numpy arrays (.npz); save the arrays as tensors in safetensors")
    if "model.weights.h5" in last:
        raise Unread("is a Keras model, not PyTorch; convert the weights to safetensors")
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    raise Unread(f"is a zip archive of {shown or 'nothing'}; unpack it and name the checkpoint in it")


def stored_plainly(path: Path) -> bool:
    """Whether no record is compressed, so that tensors can be memory-mapped where they lie."""
    with zipfile.ZipFile(path) as archive:
        return all(record.compress_type == zipfile.ZIP_STORED for record in archive.infolist())
