"""Pretext learning: what features say of the pretext target and of the label, and when labels refine them."""
