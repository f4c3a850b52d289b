"""Says what a text file is: web pages, what servers answer instead of a file, pointers, configurations."""

import json
import re
import zlib

_WHOLE = 4096
"""Bytes of the beginning; a file shorter than this is seen whole."""
_LONGEST_ANSWER = 300
_ANSWER = re.compile(
    r"not found|invalid username|unauthori[sz]ed|forbidden|denied|restricted|gated|rate.?limit"
    r"|too many requests|quota|bad (gateway|request)|(server|gateway|internal) error|unavailable|timed? ?out"
    r"|expired|authenticat|log ?in|^\d{3}\b",
    re.IGNORECASE,
)


def describe(head: bytes) -> str:
    """What the text that begins with ``head`` is; empty when it is no text. Follows the file's name."""
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights; run `git lfs pull`"
    text = _decoded(head)
    if text is None:
        return ""
    lower = text.lower()
    if lower.startswith("<") and ("<!doctype html" in lower or "<html" in lower):
        return "is an HTML page: the download was answered by a web page; download the file itself"
    if lower.startswith("<"):
        return "is an XML page: the download was answered by an error; download the file itself"
    if len(head) < _WHOLE and (answer := _answer(text)):
        return f"is what a server answered instead of the file: {answer!r}; download the file itself"
    if lower.startswith(("{", "[")):
        return f"is a JSON file{_json(text)}, not the weights"
    return "is a text file, not the weights"


def unzipped(head: bytes) -> bytes:
    """The beginning of what gzip compressed; empty when it is damaged."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _WHOLE)
    except zlib.error:
        return b""


def _decoded(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", errors="ignore")
    else:
        try:
            text = head.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(head) - 3 or len(head) < _WHOLE:
                return None
            text = head[: error.start].decode("utf-8")
    text = text.lstrip("\ufeff \t\r\n")
    return text if all(c.isprintable() or c.isspace() for c in text) else None


def _answer(text: str) -> str:
    """The sentence of a server, bare or as the ``error`` of a JSON object; empty for other texts."""
    said = text.strip()
    if said.startswith("{"):
        try:
            said = json.loads(said).get("error", "")
        except (ValueError, RecursionError):
            return ""
        return " ".join(said.split())[:_LONGEST_ANSWER] if isinstance(said, str) else ""
    short = len(said) <= _LONGEST_ANSWER and len(said.splitlines()) == 1
    return said if short and _ANSWER.search(said) else ""


def _json(text: str) -> str:
    try:
        keys = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if isinstance(keys, dict) and "weight_map" in keys:
        return " (the index of a sharded checkpoint)"
    return " (a model's configuration)" if isinstance(keys, dict) and "architectures" in keys else ""
