"""Write src/bulkio/types/changed_chars.py: what the servers found here say of every code point and every encoding.

python tests/make_changed_chars.py
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import servers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

FILE = Path(__file__).parents[1] / "src" / "bulkio" / "types" / "changed_chars.py"
UNICODE_END = 0x110000

_HEAD = '''\
"""Which characters a server changes in silence on their way into its database's encoding, by that encoding.

Made by tests/make_changed_chars.py of what PostgreSQL {versions} say; do not edit. EUC_JP, for one, makes a
fullwidth one of a broken bar, and EUC_TW bytes that it does not take for text itself. Code points are told by runs, in
hexadecimal digits: how many are skipped since the last run, and with * how many it has, where that is not one.
"""

CHANGED = {{
'''
# a conversion that fails is the server's own error; one that it cannot read back is not
_FUNCTION = """
CREATE OR REPLACE FUNCTION pg_temp.changed(encoding name, first int, past int) RETURNS SETOF int LANGUAGE plpgsql AS $$
DECLARE
    sent text;
    kept bytea;
    back text;
BEGIN
    FOR code IN first..past - 1 LOOP
        CONTINUE WHEN code BETWEEN 55296 AND 57343;  -- surrogates
        sent := pg_catalog.chr(code);
        BEGIN
            kept := pg_catalog.convert_to(sent, encoding);
        EXCEPTION WHEN untranslatable_character THEN
            CONTINUE;
        END;
        back := NULL;
        BEGIN
            back := pg_catalog.convert_from(kept, encoding);
        EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
            NULL;
        END;
        IF (back COLLATE "C" = sent) IS NOT TRUE THEN
            RETURN NEXT code;
        END IF;
    END LOOP;
END
$$
"""


def server_encodings(conn: psycopg.Connection) -> list[str]:
    """Return the encodings that a database can have and UTF8 is converted to; SQL_ASCII converts nothing."""
    query = (
        "SELECT pg_encoding_to_char(contoencoding) FROM pg_conversion"
        " WHERE conforencoding = pg_char_to_encoding('UTF8') AND condefault"
        " AND connamespace = 'pg_catalog'::regnamespace"
        " AND contoencoding <= pg_char_to_encoding('KOI8U') ORDER BY contoencoding"  # behind it are clients' encodings
    )
    return [str(name) for (name,) in conn.execute(query)]


def changed_code_points(conn: psycopg.Connection, encoding: str, end: int = UNICODE_END) -> list[int]:
    """Ask a UTF8 database which code points do not come back from an encoding that has something for them."""
    conn.execute(_FUNCTION)
    return [int(code) for (code,) in conn.execute("SELECT pg_temp.changed(%s, 1, %s)", [encoding, end])]


def runs(codes: Iterable[int]) -> str:
    """Write code points as the table has them."""
    found: list[list[int]] = []
    for code in codes:
        if found and found[-1][1] == code:
            found[-1][1] += 1
        else:
            found.append([code, code + 1])
    end, words = 0, []
    for start, past in found:
        words.append(f"{start - end:x}" + (f"*{past - start:x}" if past - start > 1 else ""))
        end = past
    return " ".join(words)


def _entry(encoding: str, codes: Sequence[int]) -> str:
    lines = textwrap.wrap(runs(codes), 108)
    if len(lines) == 1:
        return f'    "{encoding}": "{lines[0]}",\n'
    parts = [f'        "{line}{" " if i < len(lines) - 1 else ""}"\n' for i, line in enumerate(lines)]
    return f'    "{encoding}": (\n{"".join(parts)}    ),\n'


def main() -> None:
    """Ask every server, take what any of them changes, write."""
    fleet = servers.Fleet()
    changed: dict[str, set[int]] = {}
    versions = []
    try:
        for server_id in servers.found_servers():
            with fleet.get(server_id).database() as dsn, servers.connect(dsn) as conn:
                versions.append(conn.info.parameter_status("server_version") or "")
                for encoding in server_encodings(conn):
                    changed.setdefault(encoding, set()).update(changed_code_points(conn, encoding))
    finally:
        fleet.close()
    numbers = " and ".join(sorted(version.split()[0] for version in versions))
    entries = [_entry(encoding, sorted(codes)) for encoding, codes in changed.items() if codes]
    FILE.write_text(_HEAD.format(versions=numbers) + "".join(entries) + "}\n")


if __name__ == "__main__":
    main()
