"""Text from elsewhere, made safe for log lines and messages."""

from __future__ import annotations

#: Control characters (C0, DEL, C1), line and paragraph separators, and those that reverse the order of text.
_UNSAFE = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = {code: repr(chr(code))[1:-1] for code in _UNSAFE}


def printable(text: str) -> str:
    r"""Escape the characters that could forge a log line or control a terminal.

    :param text: the text.
    :returns: the text, with a line feed as ``\n``, ESC as ``\x1b``, and so on.
    """
    return text if text.isprintable() else text.translate(_ESCAPES)
