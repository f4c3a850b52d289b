"""Data sets: images by index, their labels, splits and content digests."""

from sslaudit.data.dataset import Dataset, Skipped, subset

__all__ = ["Dataset", "Skipped", "subset"]
