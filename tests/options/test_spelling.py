"""Messages name an option as their reader writes it: a parameter in Python, a flag on the command line."""

from __future__ import annotations

import re
from pathlib import Path

import bulkio
from bulkio.show import naming_flags, show_option

SOURCE = Path(bulkio.__file__).parent
#: rooms of the program itself, and what starts other programs
OWN_FLAGS = ("cli", "bench", "server/cluster.py")


def test_the_api_names_parameters() -> None:
    """As keyword arguments are written."""
    shown = show_option("mode", "append"), show_option("allow_lossy", value=True), show_option("columns")
    assert shown == ("mode='append'", "allow_lossy=True", "columns")


def test_the_program_names_flags() -> None:
    """The same calls, while the program runs; afterwards all is as before."""
    with naming_flags():
        shown = show_option("mode", "append"), show_option("allow_lossy", value=True), show_option("lock_timeout")
    assert shown == ("--mode append", "--allow-lossy", "--lock-timeout")
    assert show_option("lock_timeout") == "lock_timeout"


def test_no_message_below_the_program_spells_a_flag() -> None:
    """All but those that give both spellings, for an option of a format."""
    flags = [
        f"{path.relative_to(SOURCE)}: {line.strip()}"
        for path in [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.pyx")]
        if not str(path.relative_to(SOURCE)).startswith(OWN_FLAGS) and path.name != "show.py"
        for line in path.read_text().splitlines()
        if re.search(r"[\"'( ]--[a-z]", line) and "bulkio.csv(" not in line and "-->" not in line
        if not line.strip().startswith(("#", '"""', "`")) and "`--dry-run`" not in line
    ]
    assert flags == []
