"""`bulkio init`: a folder with a pipeline that runs at once."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib import resources
from pathlib import Path

import click

from bulkio.cli.options import output_options
from bulkio.cli.output import show, show_json
from bulkio.errors import ConfigError, FileError
from bulkio.show import printable

__all__ = ["init"]

#: files that are made, and the texts of this package that they begin as
_FILES = {
    "orders.toml": "orders.toml",
    "bulkio.toml": "bulkio.toml",
    "in/orders.csv": "orders.csv",
    ".gitignore": "gitignore.txt",
}
_CRONTAB = "crontab.txt"


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path())
@output_options
def init(folder: str, *, as_json: bool) -> None:
    """Make a folder with a pipeline that runs at once.

    \b
      bulkio init etl
      bulkio run etl/orders.toml

    It has the pipeline (orders.toml), a small file that it loads, its connection (bulkio.toml), which is the embedded
    server, a .gitignore, and a line for a crontab. No file is overwritten.
    """  # noqa: D301 (\b is click's)
    path = Path(folder)
    package = resources.files("bulkio.cli") / "project"
    texts = {path / name: (package / source).read_text(encoding="utf-8") for name, source in _FILES.items()}
    texts[path / _CRONTAB] = _crontab(path.absolute())
    there = [printable(str(file)) for file in texts if file.exists() or file.is_symlink()]
    if there:
        raise ConfigError(f"nothing was written: {', '.join(there)} would be overwritten; name another folder")
    for file, text in texts.items():
        _write(file, text)
    if as_json:
        show_json({"folder": str(path), "files": [str(file) for file in texts]})
    else:
        show(_told(path, list(texts)))


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise FileError(f"{file}: cannot be written: {error.strerror}", path=str(file)) from error


def _crontab(folder: Path) -> str:
    """Return a line for cron, which knows few folders of programs, and takes a % for the end of a line."""
    beside = Path(sys.executable).with_name("bulkio")
    program = str(beside) if beside.exists() else shutil.which("bulkio") or "bulkio"
    line = f"cd {shlex.quote(str(folder))} && {shlex.quote(program)} run --due . >> bulkio.log 2>&1"
    return (
        "# Each minute, whatever of this folder's pipelines is due: add the line with `crontab -e`.\n"
        f"* * * * * {line.replace('%', chr(92) + '%')}\n"
    )


def _told(folder: Path, files: list[Path]) -> str:
    pipeline = shlex.quote(printable(str(folder / "orders.toml")))
    made = "\n".join(f"  {printable(str(file))}" for file in files)
    return f"made:\n{made}\nnext:\n  bulkio run {pipeline}\n  bulkio connections --help"
