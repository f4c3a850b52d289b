"""Files are replaced whole, or left as they were."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` when the block ends well.

    Nothing is left beside it. Raises ``OSError``, also where the folder is missing.
    """
    beside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
