"""A CSV as users name it: where it is, and how it is written. The same object says what to load and what to write."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from bulkio.files.formats.csv.options import CsvOptions

__all__ = ["CsvFile"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CsvFile(CsvOptions):
    """A CSV to load, or to write an export to: `bulkio.csv`.

    `path` is what a source can be (a path, "-" for stdin, a list, a folder, a pattern), or a file that is open in
    binary mode; of a destination, a path or "-" for stdout. What is left out is as PostgreSQL writes it, with a header.

    >>> CsvFile("trips.csv", delimiter=";", decimal_comma=True)
    bulkio.csv('trips.csv', delimiter=';', decimal_comma=True)
    """

    path: object = field(kw_only=False)

    def __repr__(self) -> str:
        said = [f for f in fields(self) if f.name != "path" and getattr(self, f.name) != f.default]
        options = [f"{f.name}={getattr(self, f.name)!r}" for f in said]
        return f"bulkio.csv({', '.join([repr(self.path), *options])})"

    @property
    def options(self) -> CsvOptions:
        """Tell how it is written, wherever it is."""
        return CsvOptions(**{f.name: getattr(self, f.name) for f in fields(CsvOptions)})
