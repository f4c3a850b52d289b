"""Alignment of positive pairs: how far apart the views of one image are embedded."""
