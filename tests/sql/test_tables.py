"""The tables of the ledger's schema, as text; what a server makes of them is tested with the ledger and the journal."""

from __future__ import annotations

from bulkio.sql import tables


def test_the_grants_are_comments_where_no_role_is_named() -> None:
    """What is printed then can be run as it is."""
    lines = tables.full_ddl("s", None).splitlines()
    assert '-- GRANT SELECT, INSERT ON TABLE "s"."loads" TO "ROLE";' in lines
    assert not [line for line in lines if line.startswith("GRANT")]
    assert 'GRANT SELECT, INSERT ON TABLE "s"."loads" TO "it""s";' in tables.full_ddl("s", 'it"s').splitlines()


def test_each_table_has_its_key_and_is_made() -> None:
    """Of columns that it has; nobody else gets a privilege."""
    text = tables.full_ddl("s", None)
    for table, columns in tables.TABLES.items():
        assert set(tables.KEYS[table]) <= set(columns)
        assert f'CREATE TABLE IF NOT EXISTS "s"."{table}" (' in text
        assert f'REVOKE ALL ON TABLE "s"."{table}" FROM PUBLIC;' in text
    assert '-- to run pipelines: GRANT SELECT, INSERT, UPDATE ON TABLE "s"."runs", "s"."steps", "s"."marks" TO' in text
