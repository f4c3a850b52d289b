"""A folder in the layout of the Hugging Face hub, given as a bare path."""

import os

from sslaudit.refs import EncoderRef
from sslaudit_hub import OPTIONS


def hub_ref(ref: EncoderRef) -> EncoderRef | None:
    """The same folder as a reference of the scheme ``hf``; None for anything else."""
    path = os.path.expanduser(ref.locator)
    # False too for a name too long, or without the right to look: the reader says what is wrong
    if not os.path.isfile(os.path.join(path, "config.json")):
        return None
    names = {option.name for option in OPTIONS}
    # `file:runs/net` is a folder; `hf:runs/net` would be a repository
    plain = not os.path.isabs(ref.locator) and not ref.locator.startswith((".", "~"))
    folder = os.path.join(".", ref.locator) if plain else ref.locator
    return EncoderRef("hf", folder, tuple(pair for pair in ref.options if pair[0] in names))
