"""`python -m ganzoo`, the same as `ganzoo`."""

from ganzoo.cli import main

main()
