"""Data sets: images by index, their labels, groups, splits and content digests."""

from sslaudit.data.dataset import Dataset, Skipped, only, subset
from sslaudit.data.duplicates import NearDuplicates, near_duplicates
from sslaudit.data.groups import group_by

__all__ = ["Dataset", "NearDuplicates", "Skipped", "group_by", "near_duplicates", "only", "subset"]
