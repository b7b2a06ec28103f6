"""Text from files that may come from anywhere, made fit for a terminal."""

from __future__ import annotations

import re

UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters besides tab and newline, and characters that change the direction or the lines of text."""


def printable(text: str) -> str:
    """`text` with backslash escapes in place of characters that control a terminal."""
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
