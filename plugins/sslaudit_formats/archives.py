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

from sslaudit_formats.opened import Unread


def archive_kind(path: Path) -> Literal["zip", "torchscript"]:
    """Which PyTorch archive the zip file is. Raises ``Unread`` for the others."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            methods = {record.compress_type for record in archive.infolist()}
    except zipfile.BadZipFile:
        raise Unread(
            f"is truncated or damaged: its {path.stat().st_size:,} bytes begin a zip archive, and the "
            "end of the archive is missing; copy or download it again"
        ) from None
    except (ValueError, OSError, NotImplementedError, EOFError) as error:
        raise Unread(f"is a damaged zip archive ({type(error).__name__})") from None
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        _refuse_packed_otherwise(names, methods)
        return "torchscript" if "constants.pkl" in last else "zip"
    if "archive_format" in last or "serialized_exported_program.json" in last:
        raise Unread("is a program of torch.export, not the weights; save model.state_dict()")
    if names and all(name.endswith(".npy") for name in names):
        raise Unread("is an archive of numpy arrays (.npz); save the arrays as tensors in safetensors")
    if "model.weights.h5" in last:
        raise Unread("is a Keras model, not PyTorch; convert the weights to safetensors")
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    raise Unread(f"is a zip archive of {shown or 'nothing'}; unpack it and name the checkpoint in it")


def _refuse_packed_otherwise(names: list[str], methods: set[int]) -> None:
    """Raises ``Unread`` for an archive that was unpacked and packed again in a way torch does not read."""
    again = "zip the folder of data.pkl again: zip -0 -r FILE.pth FOLDER"
    if methods - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise Unread(
            f"is a PyTorch file that was compressed in a way torch does not read; unpack it, and {again}"
        )
    if not any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names):
        raise Unread(
            "is a PyTorch file that was unpacked and zipped again with other folders; its records must lie "
            f"in one folder of any name. Unpack it, and {again}"
        )


def stored_plainly(path: Path) -> bool:
    """Whether no record is compressed, so that tensors can be memory-mapped where they lie."""
    with zipfile.ZipFile(path) as archive:
        return all(record.compress_type == zipfile.ZIP_STORED for record in archive.infolist())
