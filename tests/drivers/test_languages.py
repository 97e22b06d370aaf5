"""The row and the column of an error are found in whatever language the server speaks."""

from __future__ import annotations

import gettext
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

import bulkio
from bulkio.drivers.copyplace import copy_place
from bulkio.server import account
from gaps import lacking
from servers import connect, found_servers, make_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOGS = Path("/usr/share/locale")
#: what a server says of COPY (its source, copyfrom.c), and what is in it
PLACES = {
    "COPY %s, line %llu": (7, None),
    "COPY %s, line %llu, column %s": (7, "a, b c"),
    'COPY %s, line %llu, column %s: "%s"': (7, "a"),
    "COPY %s, line %llu, column %s: null input": (7, "a"),
    'COPY %s, line %llu: "%s"': (7, None),
}


def filled(text: str, column: str | None) -> str:
    """Put names and numbers into one of the server's formats."""
    for place, value in (("%s", "my table 3"), ("%llu", "7"), ("%s", column or "x"), ("%s", "x, y")):
        text = text.replace(place, value, 1)
    return text


def test_every_language_that_is_installed() -> None:
    """The formats of the translations themselves, filled in: each gives the line and the column."""
    found = sorted(CATALOGS.glob("*/LC_MESSAGES/postgres-*.mo"))
    if not found:
        lacking("a PostgreSQL with translations")
    tried = 0
    for path in found:
        with path.open("rb") as file:
            catalog = gettext.GNUTranslations(file)
        for text, place in PLACES.items():
            said = catalog.gettext(text)
            before = 'PL/pgSQL function f() line 3 at RAISE\nSQL statement "COPY t"\n'
            assert copy_place(before + filled(said, place[1]) + "\nmore") == place, (path, said)
            tried += said != text
    assert tried > 40


def test_a_value_with_another_language_s_words_gives_no_place() -> None:
    """The server's own line comes first; a value behind it may have line ends."""
    value = 'x\nCOPY t, line 99, column b: "y"'
    assert copy_place(f"COPY t, Zeile 3, Spalte a: »{value}«") == (3, "a")
    assert copy_place(f'COPY t, line 3, column a: "{value.replace("line", "ligne")}"') == (3, "a")


def test_line_0_is_no_row() -> None:
    """So COPY says what happens before its first row, as in a statement trigger."""
    assert copy_place("COPY t, line 0") == (None, None)
    assert copy_place("COPY t, Zeile 0, Spalte a") == (None, "a")


@pytest.fixture(scope="module")
def german() -> Iterator[str]:
    """Yield the DSN of a server that speaks German."""
    programs = found_servers().get("pg15")
    localedef, sources = shutil.which("localedef"), Path("/usr/share/i18n/locales/de_DE")
    if localedef is None or not sources.exists() or programs is None or not list(CATALOGS.glob("de/*/postgres-15.mo")):
        lacking("a PostgreSQL with translations, and localedef with the sources of locales")
    with (
        tempfile.TemporaryDirectory(prefix="bulkio-locale-", dir="/tmp") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        root = Path(folder)
        root.chmod(0o755)
        subprocess.run([localedef, "-i", "de_DE", "-f", "UTF-8", root / "de_DE.UTF-8"], check=True)
        patch.setenv("LOCPATH", folder)
        patch.setattr(account, "_ENVIRONMENT", (*account._ENVIRONMENT, "LOCPATH"))
        cluster = make_cluster(programs, root / "server")
        cluster = replace(cluster, options={**cluster.options, "lc_messages": "de_DE.UTF-8"})
        try:
            cluster.start()
            yield cluster.url()
        finally:
            cluster.stop(mode="immediate")


WAYS = [(driver, method) for driver in ("asyncpg", "psycopg") for method in ("binary", "csv", "records")]


@pytest.mark.parametrize(("driver", "method"), WAYS)
def test_an_error_in_german_names_the_row(german: str, driver: str, method: str) -> None:
    """The server's words stay as they are; what they say of the place is understood."""
    with connect(german) as conn:
        conn.execute('DROP TABLE IF EXISTS "Zeile 9, t"')
        conn.execute('CREATE TABLE "Zeile 9, t" (a bigint CHECK (a < 3), b txid_snapshot)')
        table = pa.table({"a": [1, 2, 3]})
        with pytest.raises(bulkio.DriverError, match="verletzt Check-Constraint") as caught:
            bulkio.load(table, '"Zeile 9, t"', german, driver=driver, method=method)
        assert caught.value.row == 3
        snapshots = pa.table({"b": ["10:20:10,14", "no snapshot"]})
        with pytest.raises(bulkio.DriverError, match="Eingabesyntax") as caught:
            bulkio.load(snapshots, '"Zeile 9, t"', german, driver=driver)
        assert (caught.value.row, caught.value.column) == (2, "b")
