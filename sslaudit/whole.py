"""Files are replaced whole, or left as they were."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslaudit.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` when the block ends well.

    Nothing is left beside it. Raises ``OSError``, also where the folder is missing, and where ``path`` is
    there and no regular file: a device would be lost.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "it is there, and no regular file", str(path))
    beside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, through a link to where it points. Raises ``OutputError``."""
    try:
        with replacing(path.resolve()) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}.") from error
