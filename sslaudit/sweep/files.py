"""Text files of a sweep, written whole or not at all."""

import os
import uuid
from pathlib import Path

from sslaudit.errors import OutputError


def write_text(path: Path, text: str) -> None:
    """Write ``path`` and the folders above it. Raises ``OutputError``."""
    beside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}.") from error
