"""What has a short name: pinned models and protocols of audits, both kept as data."""

from sslaudit.named.folder import read_toml
from sslaudit.named.models import Model, Reported, Weights, check_digest, expand
from sslaudit.named.suites import AuditSuite, audit_suites, read_suite, sweep_file, sweep_suites

__all__ = [
    "AuditSuite",
    "Model",
    "Reported",
    "Weights",
    "audit_suites",
    "check_digest",
    "expand",
    "read_suite",
    "read_toml",
    "sweep_file",
    "sweep_suites",
]
