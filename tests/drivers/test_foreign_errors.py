"""No exception of asyncpg or psycopg passes bulkio: each class that they have is mapped, the next release's too."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import asyncpg
import psycopg
import pytest

from bulkio.drivers.errors import is_foreign, map_connect_error, map_error, mapped_errors
from bulkio.errors import BulkioError, ConfigError, ConnectError, DriverError

#: modules that need what is not installed here, or are programs
_LEFT_OUT = ("_testbase", "__main__", "._gsslib", "._c")


def exception_classes(package: str) -> list[type[BaseException]]:
    """Find every exception class that a package's modules define."""
    found: dict[str, type[BaseException]] = {}
    root = importlib.import_module(package)
    for info in pkgutil.walk_packages(root.__path__, f"{package}."):
        if any(part in info.name for part in _LEFT_OUT):
            continue
        try:
            module = importlib.import_module(info.name)
        except ImportError:  # psycopg_c, gevent
            continue
        for value in vars(module).values():
            if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__.startswith(package):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return list(found.values())


def instance(kind: type[BaseException]) -> BaseException:
    """Make an exception without its constructor, some of which want what only the driver has."""
    return kind.__new__(kind, "words of the driver")


CLASSES = {package: exception_classes(package) for package in ("asyncpg", "psycopg")}
ALL = [pytest.param(kind, id=f"{kind.__module__}.{kind.__qualname__}") for kinds in CLASSES.values() for kind in kinds]


def test_the_classes_were_found() -> None:
    """The lists have what each driver raises most."""
    assert {asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.DeadlockDetectedError} <= {*CLASSES["asyncpg"]}
    assert {psycopg.Error, psycopg.OperationalError, psycopg.errors.DeadlockDetected} <= {*CLASSES["psycopg"]}
    assert {len(kinds) > 200 for kinds in CLASSES.values()} == {True}


@pytest.mark.parametrize("kind", ALL)
def test_each_is_mapped(kind: type[BaseException]) -> None:
    """A class becomes bulkio's, with the driver's words: in a statement, on a lost connection, while connecting."""
    error = instance(kind)
    assert is_foreign(error)
    for mapped in (map_error(error), map_error(error, lost=True), map_connect_error(error, "host")):
        assert isinstance(mapped, (DriverError, ConfigError))
        assert "words of the driver" in str(mapped)
    assert isinstance(map_connect_error(error, "host"), (ConnectError, ConfigError))


@pytest.mark.parametrize("kind", [kind for kind in ALL if issubclass(kind.values[0], Exception)])
def test_each_is_mapped_where_it_is_raised(kind: type[Exception]) -> None:
    """The block that sessions run in lets none through."""
    with pytest.raises(BulkioError) as caught, mapped_errors(lambda: False):
        raise instance(kind)
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize(
    "kind", [kind for kinds in CLASSES.values() for kind in kinds if getattr(kind, "sqlstate", None)]
)
def test_each_sqlstate_is_kept(kind: type[BaseException]) -> None:
    """What has a SQLSTATE keeps it, but for those that say the connection is gone, which are one."""
    mapped = map_error(instance(kind))
    assert isinstance(mapped, DriverError)
    assert mapped.sqlstate in (kind.sqlstate, "08006")  # type: ignore[attr-defined]
    if mapped.sqlstate != kind.sqlstate:  # type: ignore[attr-defined]
        assert kind.sqlstate[:2] == "08"  # type: ignore[attr-defined]
