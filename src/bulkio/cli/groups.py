"""Help in sections: a command of many options shows each in the section that it says."""

from __future__ import annotations

from typing import Any

import click

from bulkio.options import GROUPS

__all__ = ["GroupedCommand", "GroupedOption", "grouped"]

#: section of whatever says none: what a command prints
_OTHERS = "Output"


class GroupedOption(click.Option):
    """An option that says in which section of the help it stands."""

    def __init__(self, *args: Any, group: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.group = group or _OTHERS


class GroupedCommand(click.Command):
    """A command whose help has sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        for group, options in grouped(self.get_params(ctx)):
            records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
            with formatter.section(group):
                formatter.write_dl(records)


def grouped(params: list[click.Parameter]) -> list[tuple[str, list[click.Option]]]:
    """Return the sections that have options, in their order, with these."""
    options = [each for each in params if isinstance(each, click.Option)]
    sections = [(group, [each for each in options if getattr(each, "group", _OTHERS) == group]) for group in GROUPS]
    return [(group, each) for group, each in sections if each]
