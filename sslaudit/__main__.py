"""``python -m sslaudit`` is the program ``sslaudit``."""

from sslaudit.cli import main

main()
