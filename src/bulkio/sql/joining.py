"""Statements around a load that joins a transaction of the caller's: what that is like, and its settings.

They run under the caller's search_path, or the user's: names and operators are spelled in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.quote import quote_literal
from bulkio.sql.statements import USERS_PATH_SETTING, lift_timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LIFT_TIMEOUTS", "READ_AS_UTF8", "SETTINGS", "STATE", "restore"]

#: Ask what a transaction is like: isolation, whether it may only read, and the client's encoding. All of it is ASCII.
STATE = (
    "SELECT pg_catalog.current_setting('transaction_isolation'), pg_catalog.current_setting('transaction_read_only'),"
    " pg_catalog.current_setting('client_encoding')"
)

#: Let the server's answers be read whatever is in them.
READ_AS_UTF8 = "SET LOCAL client_encoding = 'UTF8'"

#: Ask for all settings that a role can change, and for bulkio's own; role and session come first, as they decide what
#: else may be set.
SETTINGS = (
    "SELECT s.name, s.setting FROM ("  # noqa: S608 - fixed words
    "SELECT 1, 'session_authorization', pg_catalog.current_setting('session_authorization')"
    " UNION ALL SELECT 2, 'role', pg_catalog.current_setting('role')"
    f" UNION ALL SELECT 3, '{USERS_PATH_SETTING}',"
    f" coalesce(pg_catalog.current_setting('{USERS_PATH_SETTING}', true), '')"
    " UNION ALL SELECT 4, name, setting FROM pg_catalog.pg_settings"
    " WHERE context OPERATOR(pg_catalog.=) 'user' OR context OPERATOR(pg_catalog.=) 'superuser'"
    ") AS s(place, name, setting) ORDER BY s.place"
)

#: As `statements.LIFT_TIMEOUTS`, but for the limits that the caller has set in his session; and that of the whole
#: transaction stays, which is his, and would begin anew where it is set again.
LIFT_TIMEOUTS = lift_timeouts(
    "name OPERATOR(pg_catalog.=) 'statement_timeout' AND source OPERATOR(pg_catalog.<>) 'client'"
    " AND source OPERATOR(pg_catalog.<>) 'session'"
)


def restore(settings: Mapping[str, str | None]) -> str:
    """Build the SELECT that gives settings these values until the transaction ends; then they are what they were.

    Its result is a number: the values might have characters that the client's own encoding lacks.
    """
    calls = ", ".join(f"pg_catalog.set_config({_text(name)}, {_text(value)}, true)" for name, value in settings.items())
    return f"SELECT pg_catalog.cardinality(ARRAY[{calls}])"


def _text(value: str | None) -> str:
    return "NULL" if value is None else quote_literal(value).strip()
