"""The rungs of ``theorem1``: what they are made of, what they say, and what they must never say."""
