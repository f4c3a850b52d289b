"""The report card: its record, its JSON, and its renderings."""

from sslaudit.report.card import ReportCard, read_card, write_card

__all__ = ["ReportCard", "read_card", "write_card"]
