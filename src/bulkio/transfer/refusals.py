"""Which errors of the server's are about the rows of a statement: they can be had by leaving these rows out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkio.errors import ConnectError

if TYPE_CHECKING:
    from bulkio.errors import DriverError

__all__ = ["is_about_rows"]

#: classes of SQLSTATEs (PostgreSQL docs, appendix A) that no row is to blame for: the connection, the transaction, a
#: statement that cannot be, what the server lacks, a cancellation. All others come of values, or of triggers: those
#: raise what they like.
_OTHER_CLASSES = frozenset(
    {
        "08",  # connection
        "0A",  # not supported
        "25",  # state of the transaction
        "26",  # name of a prepared statement
        "28",  # login
        "3B",  # savepoint
        "3D",  # name of the database
        "3F",  # name of the schema
        "40",  # rollback: deadlock, serialization
        "42",  # syntax, names, rights
        "53",  # resources: disk, memory, connections
        "55",  # state of an object: a lock
        "57",  # cancelled, shut down
        "58",  # operating system
        "72",  # snapshot
        "F0",  # configuration file
        "HV",  # foreign data
        "XX",  # internal: corrupted data
    }
)
#: SQLSTATE insufficient_privilege, which a row is to blame for where a policy refuses it: only English words tell that
_DENIED = "42501"
_POLICY_WORDS = "violates row-level security policy"


def is_about_rows(error: DriverError) -> bool:
    """Tell whether a statement may do without some of its rows what it has failed to do with them.

    >>> from bulkio.errors import DriverError
    >>> is_about_rows(DriverError("a key is there", sqlstate="23505"))
    True
    >>> is_about_rows(DriverError("canceled", sqlstate="57014")), is_about_rows(DriverError("odd"))
    (False, False)
    """
    state = error.sqlstate
    if state is None or isinstance(error, ConnectError):
        return False
    if state == _DENIED:
        return _POLICY_WORDS in error.args[0]
    return state[:2] not in _OTHER_CLASSES
