"""What the program prints: results on stdout, everything for people on stderr, all of it safe for a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING

from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["count_bytes", "escape", "prepare", "say", "show", "show_json", "show_table"]


def prepare() -> None:
    """Let no character of a name or a value be too much for the encoding of stdout and stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def escape(text: str) -> str:
    """Escape control characters, except the newlines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def say(message: str) -> None:
    """Print a message on stderr. Where nobody can read it, nothing happens."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(escape(message) + "\n")
            sys.stderr.flush()


def show(text: str) -> None:
    """Print a result on stdout. A reader that has left (`| head`) has what it wanted; other errors are raised."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(escape(text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
    except OSError:
        _close_stdout()
        raise


def show_json(value: object) -> None:
    """Print one JSON object, in one line of ASCII."""
    show(json.dumps(value))


def show_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Print lines of texts on stdout, their columns below each other."""
    columns = list(zip(head, *lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    for line in zip(*columns, strict=True):
        show("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _close_stdout() -> None:
    """Send what is still buffered nowhere: Python flushes it once more at the end, and would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def count_bytes(count: int) -> str:
    """Show a number of bytes for people, like ``1.2 MB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
