"""Recognises a file by its first and last bytes; the ending of its name decides nothing that is read.

=====================================  =======================================================
kind                                   recognised by
=====================================  =======================================================
zip (PyTorch 1.6 and later)            ``PK\\x03\\x04`` and a record ``*/data.pkl`` (see ``archives``)
torchscript                            the same with ``constants.pkl``
legacy (PyTorch before 1.6)            a pickle that begins with torch's magic number
safetensors                            length of the header, then ``{``
onnx                                   protobuf whose top-level fields are those of ModelProto
text, JSON, XML, HTML, LFS, answers    UTF-8 or UTF-16 text and its beginning (see ``texts``)
plain pickle                           a pickle without torch's magic number
numpy, HDF5, GGUF, images, archives    their magic numbers, below
Flax                                   the ending ``.msgpack``
TensorFlow                             ``.ckpt.index``, ``.ckpt.data-*``, protobuf of SavedModel
old tar of PyTorch (0.1)               ``ustar`` or a tar that holds ``storages``
=====================================  =======================================================
"""

import json
import pickletools
import re
import tarfile
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Literal

from sslaudit_formats import texts
from sslaudit_formats.archives import archive_kind
from sslaudit_formats.folders import unpacked
from sslaudit_formats.opened import Unread
from sslaudit_formats.protobuf import is_onnx

Kind = Literal["zip", "legacy", "safetensors", "torchscript", "onnx"]

_HEAD = 4096
_MAGIC_NUMBER = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
"""torch/serialization.py, MAGIC_NUMBER: the first object of a file before the zip format."""

_UNPACK = "unpack it and name the checkpoint in it"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", f"is compressed with gzip; {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"is compressed with xz; {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"is compressed with zstd; {_UNPACK}"),
    (b"BZh", f"is compressed with bzip2; {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"is a 7z archive; {_UNPACK}"),
    (b"Rar!\x1a\x07", f"is a RAR archive; {_UNPACK}"),
    (b"\x89HDF", "is an HDF5 file (Keras or MATLAB), not PyTorch; convert the weights to safetensors"),
    (b"\x93NUMPY", "is a numpy array; a checkpoint holds tensors by name"),
    (b"GGUF", "is a GGUF file (quantised for llama.cpp); name the weights it was made from"),
    (b"\x89PNG", "is a PNG image; name the checkpoint, and the images with --data"),
    (b"\xff\xd8\xff", "is a JPEG image; name the checkpoint, and the images with --data"),
    (b"GIF8", "is a GIF image; name the checkpoint, and the images with --data"),
    (b"PAR1", "is a Parquet table, not a checkpoint"),
    (b"%PDF", "is a PDF document, not a checkpoint"),
)


def sniff(path: Path) -> Kind:
    """What ``path`` is. Raises ``Unread`` when it is not read, ``OSError`` when it cannot be opened."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise Unread("is empty (0 bytes); copy or download it again")
    if not any(head):
        raise Unread("begins with zeros: a download that did not finish; download it again")
    if head.startswith(b"PK\x03\x04"):
        return archive_kind(path)
    if head[:1] == b"\x80" and _MAGIC_NUMBER in head[:64]:
        return "legacy"
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    if reason := _named(path, head):
        raise Unread(reason)
    if is_onnx(path):
        return "onnx"
    if head[:1] == b"\x80":
        raise Unread(_pickle(path, head))
    raise Unread("is damaged, or no kind of checkpoint that is known")


def _named(path: Path, head: bytes) -> str:
    if head.startswith(b"\x1f\x8b") and (text := texts.describe(texts.unzipped(head))):
        return f"is compressed with gzip, and in it {text}"
    for magic, reason in _MAGIC:
        if head.startswith(magic):
            return reason
    if _old_pickle(head):
        return _pickle(path, head)
    return _by_name(path.name) or _tar(path) or texts.describe(head)


def _by_name(name: str) -> str:
    if name.endswith(".msgpack"):
        return "is a Flax checkpoint (msgpack); convert it to PyTorch or safetensors"
    if re.search(r"\.(index|meta|data-\d{5}-of-\d{5})$", name) or name == "saved_model.pb":
        return "is a part of a TensorFlow checkpoint; convert the weights to safetensors"
    return ""


def _old_pickle(head: bytes) -> bool:
    """Whether ``head`` begins a pickle of protocol 0 or 1, which has no mark of its own."""
    if not head.startswith((b"(", b"]", b"}", b"ccopy_reg\n", b"ccollections\n", b"cnumpy")):
        return False
    try:
        return len(list(islice(pickletools.genops(head), 8))) > 1
    except ValueError:
        return False


def _pickle(path: Path, head: bytes) -> str:
    if head[1:2] == b"\x02" and len(head) < 64 and _MAGIC_NUMBER.startswith(head[4:14]):
        return "is truncated: it ends in the first bytes of a PyTorch checkpoint"
    if path.name == "data.pkl" and (reason := unpacked(path.parent)):
        return f"lies in a folder that {reason}"
    given, made = (json.dumps(str(one), ensure_ascii=False) for one in (path, path.with_suffix(".pth")))
    if path.suffix == ".pth":
        made = json.dumps(f"{path}.converted.pth", ensure_ascii=False)
    joblib = b"joblib" in head
    content = f"joblib.load({given})" if joblib else f'pickle.load(open({given}, "rb"), encoding="latin1")'
    code = f"import {'joblib' if joblib else 'pickle'}, torch; torch.save({content}, {made})"
    return (
        f"is a plain pickle{' of joblib' if joblib else ''}, not written by torch.save, or is damaged; "
        f"where it is trusted, this runs its code and converts it:\n  python -c {quote(code)}"
    )


def _tar(path: Path) -> str:
    try:
        with tarfile.open(path, mode="r:") as tar:
            names = [member.name for member, _ in zip(tar, range(4), strict=False)]
    except (tarfile.TarError, ValueError, OverflowError, EOFError):
        return ""
    if "storages" in names or "tensors" in names:
        return (
            "is a PyTorch file from before version 0.2 (a tar archive), which cannot be read without "
            "running code; save it again with a newer torch where it is trusted"
        )
    return f"is a tar archive; {_UNPACK}"
