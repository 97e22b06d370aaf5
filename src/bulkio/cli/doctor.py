"""`bulkio doctor`: what is wrong with a server, or would be."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from bulkio.cli.exits import Exit
from bulkio.cli.interrupts import carry_out
from bulkio.cli.options import field_options, output_options, use_dsn
from bulkio.cli.output import show, show_json
from bulkio.options import DoctorRequest
from bulkio.show import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkio import DoctorReport

__all__ = ["doctor"]


@click.command()
@click.argument("table", required=False, metavar="[TABLE]")
@field_options(DoctorRequest)
@output_options
def doctor(table: str | None, options: dict[str, Any], *, as_json: bool) -> int:
    """Look for what is wrong with a server, or a table in it.

    It looks at connection, privileges, settings, leftovers, and the table. Each finding is ok, warn or fail, with what
    to do about it; docs/doctor.md explains them. Nothing is changed, and no rights are needed. Ends with 0 if nothing
    fails, with 1 if anything does, with 5 without a connection.
    """
    from bulkio import sync

    options["dsn"] = use_dsn(options["dsn"], quiet=as_json)
    report = carry_out(lambda: sync.doctor(table, **options), "nothing was changed")
    if as_json:
        show_json(report.as_dict())
    else:
        show("\n".join(_lines(report)))
    return Exit.FAILED if report.worst == "fail" else Exit.DONE


def _lines(report: DoctorReport) -> Iterator[str]:
    yield f"{report.address}: PostgreSQL {report.server_version}"
    for area, findings in groupby(report.findings, key=lambda finding: finding.area):
        yield f"{area}:"
        for finding in findings:
            yield f"  {finding.level:<4}  {finding.check}: {printable(finding.text)}"
            if finding.remedy:
                yield f"          {printable(finding.remedy)}"
    counts = report.as_dict()["counts"]
    yield ", ".join(f"{count} {level}" for level, count in counts.items())  # type: ignore[attr-defined]
