"""A folder in the layout of the Hugging Face hub, given as a bare path."""

from pathlib import Path

from sslaudit.refs import EncoderRef
from sslaudit_hub import OPTIONS


def hub_ref(ref: EncoderRef) -> EncoderRef | None:
    """The same folder as a reference of the scheme ``hf``; None for anything else."""
    path = Path(ref.locator).expanduser()
    try:
        known = path.is_dir() and (path / "config.json").is_file()
    except OSError:  # a name too long, no right to look: the reader says what is wrong
        return None
    if not known:
        return None
    names = {option.name for option in OPTIONS}
    return EncoderRef("hf", ref.locator, tuple(pair for pair in ref.options if pair[0] in names))
