"""Write golden.txt: what every server found here sends for the SQL of golden_cases, refused where they differ.

python tests/pgcopy/make_golden.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/

import servers
from pgcopy.golden_cases import FILE, GOLDEN


def main() -> None:
    """Ask every server, compare, write."""
    fleet = servers.Fleet()
    streams: dict[str, bytes] = {}
    versions = []
    try:
        for server_id in servers.found_servers():
            connection = fleet.get(server_id).admin
            connection.execute("SET timezone = 'UTC'")
            versions.append(connection.info.parameter_status("server_version") or "")
            for golden in GOLDEN:
                with connection.cursor().copy(f"COPY ({golden.sql}) TO STDOUT (FORMAT BINARY)") as copy:
                    stream = b"".join(map(bytes, copy))
                assert streams.setdefault(golden.sql, stream) == stream, f"the servers differ: {golden.sql}"
    finally:
        fleet.close()
    made_by = f"-- COPY (...) TO STDOUT (FORMAT BINARY), made by make_golden.py on PostgreSQL {', '.join(versions)}\n"
    FILE.write_text(made_by + "".join(f"\n{sql}\n{stream.hex()}\n" for sql, stream in streams.items()))


if __name__ == "__main__":
    main()
