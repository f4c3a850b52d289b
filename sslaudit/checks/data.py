"""Is the data what it seems?"""

from sslaudit.data import Dataset, near_duplicates
from sslaudit.results import Check


def check_data(data: Dataset) -> list[Check]:
    """No image has two labels, nothing is odd about the pixels, and nothing of train returns in test."""
    noted = " ".join(data.notes)
    checks = [
        Check(
            name="data",
            status="warn" if noted else "pass",
            message=noted or "labels, pixels and groups are as they should be",
        )
    ]
    if len(data.train) and len(data.test):
        found = near_duplicates(data)
        checks.append(
            Check(name="duplicates", status="warn" if found.count else "pass", message=found.sentence)
        )
    return checks
