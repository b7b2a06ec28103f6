"""`python -m ganzoo`, the same as `ganzoo`."""

import sys

if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    del sys.path[0]  # the working directory, which may be an unpacked run

from ganzoo.cli import main

main()
