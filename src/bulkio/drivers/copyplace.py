"""Where COPY stood when the server met an error: read from its words, in each language that it has.

There is no field for it. The CONTEXT says ``COPY t, line 3, column a: "x"`` (PostgreSQL's copyfrom.c), translated where
lc_messages is not English, which few roles may change. A language that is not here gives no place, never a wrong one.
"""

from __future__ import annotations

import re

__all__ = ["copy_place"]

#: words for "line" and "column" in languages whose sentence is otherwise built as in English
_WORDS = (
    ("line", "column"),
    ("Zeile", "Spalte"),  # German
    ("línea", "columna"),  # Spanish
    ("riga", "colonna"),  # Italian
    ("linha", "coluna"),  # Portuguese
    ("rad", "kolumn"),  # Swedish
    ("linia", "kolumna"),  # Polish
    ("řádka", "sloupec"),  # Czech
    ("satır", "sütun"),  # Turkish
    ("строка", "столбец"),  # Russian
    ("рядок", "стовпець"),  # Ukrainian
    ("ხაზი", "სვეტი"),  # Georgian
    ("行", "列"),  # Chinese
)
_TAIL = r"(?:: |$)"
_PATTERNS = [
    *(rf"COPY .+?, {line} (?P<line>\d+)(?:, {column} (?P<column>.+?))?{_TAIL}" for line, column in _WORDS),
    r"COPY .+?, ligne (?P<line>\d+)(?:, colonne (?P<column>.+?))?(?:\s: |$)",  # French
    rf".+?のCOPY、行 (?P<line>\d+)(?:、列 (?P<column>.+?))?{_TAIL}",  # Japanese
    rf".+? 복사, (?P<line>\d+)번째 줄(?:, (?P<column>.+?) 열)?{_TAIL}",  # Korean
    rf"COPY .+?, (?P<line>\d+)행, (?P<column>.+?) 열{_TAIL}",
]
_PLACES = [re.compile(f"^{pattern}", re.MULTILINE) for pattern in _PATTERNS]


def copy_place(context: str) -> tuple[int | None, str | None]:
    """Return the line and the column that a CONTEXT names; in the binary format a line is a row.

    The first place in the text counts, in whatever language: a value that stands behind it may hold another's words.
    Line 0 is before any row.

    >>> copy_place('COPY t, Zeile 3, Spalte a: »x«')
    (3, 'a')
    """
    found = [match for pattern in _PLACES if (match := pattern.search(context)) is not None]
    if not found:
        return None, None
    first = min(found, key=lambda match: match.start())
    return int(first["line"]) or None, first["column"]
