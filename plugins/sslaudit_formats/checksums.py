"""Compares every record of a zip archive with its checksum, beside what else is done with the file.

torch does not: a download with a hole in it opens, with zeros for weights. The records are read from
the file, not through the mapped tensors, so that no weight stays in memory.

Source: PKWARE APPNOTE.TXT, 4.4.7; torch/serialization.py, set_crc32_options and skip_data: a record that
was written without a checksum has 0 for it, which no record of zeros has.
"""

import threading
import zipfile
from pathlib import Path

from sslaudit_formats.opened import Unread

_BLOCK = 4 << 20
_ONE_AT_A_TIME = threading.Lock()
"""Shards are compared one after another: all at once would only wait for the same disk."""


class Checksums:
    """The comparison for one archive; it begins when this is made, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._damage = ""
        try:
            with zipfile.ZipFile(path) as archive:
                filled = [record.CRC for record in archive.infolist() if record.file_size]
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, EOFError):
            filled = []  # the reader says what is wrong
        self.note = _note(filled)
        """What a reader must know of an archive whose records were written without checksums."""
        self._thread = threading.Thread(target=self._compare, name="sslaudit-checksums", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when every record was compared. Raises ``Unread`` naming the first that is damaged."""
        self._thread.join()
        if self._damage:
            raise Unread(f"is damaged: {self._damage}; copy or download it again")

    def _compare(self) -> None:
        with _ONE_AT_A_TIME:
            name = ""
            try:
                with zipfile.ZipFile(self._path) as archive:
                    for record in archive.infolist():
                        if not record.CRC:
                            continue
                        name = record.filename
                        with archive.open(record) as stream:
                            while stream.read(_BLOCK):
                                pass
            except Exception as error:  # zipfile and zlib raise kinds of their own for each damage
                what = "does not have its checksum" if "CRC" in str(error) else "cannot be read"
                self._damage = f"record {name} {what}" if name else "its list of records cannot be read"


def _note(filled: list[int]) -> str:
    """A sentence when some of the checksums of the records that are not empty are absent."""
    absent = filled.count(0)
    if not absent:
        return ""
    what = "the file has no checksums" if absent == len(filled) else f"{absent} records have no checksum"
    return f"{what}: whether it is damaged cannot be known"
