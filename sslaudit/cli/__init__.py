"""The command line. Nothing heavy is imported here; each command imports what it needs."""

from sslaudit.cli.app import main

__all__ = ["main"]
