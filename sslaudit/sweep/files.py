"""Text files of a sweep, written whole or not at all."""

from pathlib import Path

from sslaudit.errors import OutputError
from sslaudit.whole import replacing


def write_text(path: Path, text: str) -> None:
    """Write ``path`` and the folders above it. Raises ``OutputError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}.") from error
