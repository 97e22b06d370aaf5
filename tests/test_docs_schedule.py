"""docs/schedule.md: what it says of ticks is what they are."""

from __future__ import annotations

import re
import tomllib
from datetime import datetime, timedelta
from pathlib import Path

import click
import pytest

from bulkio.cli.run import run
from bulkio.cli.runs import runs
from bulkio.cli.schedule import schedule
from bulkio.pipeline.schedule.cron import Cron, tick_id
from bulkio.pipeline.schedule.due import SIDE_BY_SIDE
from bulkio.pipeline.schedule.foreground import LOOK_S
from bulkio.pipeline.schedule.ticks import GRACE, MOST
from bulkio.pipeline.spec.models import Schedule
from bulkio.transfer.journal.records import MAX_ERROR
from bulkio.transfer.journal.run import BEAT_S, LEASE_S

TEXT = (Path(__file__).parents[1] / "docs/schedule.md").read_text()
DAYS = re.findall(r"^\| (\S+), (2026-\d\d-\d\d) \|(.*)\|$", TEXT, re.MULTILINE)


def test_the_example_is_a_schedule() -> None:
    """With the keys that there are."""
    text = re.search(r"```toml\n(.*?)```", TEXT, re.DOTALL)[1]
    found = Schedule(**tomllib.loads(text)["schedule"])
    assert (found.cron, found.timezone, found.catch_up) == ("15 2 * * *", "Europe/Berlin", "latest")
    assert set(re.findall(r"^\| `(none|latest|all)` \|", TEXT, re.MULTILINE)) == {"none", "latest", "all"}


def test_numbers() -> None:
    """Of seconds, ticks and characters."""
    for words in (
        f"{LEASE_S:.0f} seconds by the server's clock, renewed every {BEAT_S:.0f}",
        f"every {LOOK_S:.0f} s for runs",
        f"first {MAX_ERROR:,} characters",
    ):
        assert words in TEXT
    assert ("more than five minutes old" in TEXT, GRACE) == (True, timedelta(minutes=5))
    assert ("ten at a time" in TEXT, SIDE_BY_SIDE) == (True, 10)
    assert ("latest thousand" in TEXT, MOST) == (True, 1000)


@pytest.mark.parametrize(("zone", "day", "rest"), DAYS)
def test_ticks_where_the_clock_changes(zone: str, day: str, rest: str) -> None:
    """The tables' ticks are the line's."""
    shown = re.findall(r"`(?:\d{4}-\d\d-\d\dT)?(\d\d:\d\d[+-]\d\d:\d\d)`", rest)
    line = "0 * * * *" if "…" in rest else "15 2 * * *"
    cron = Cron(line, zone)
    start = datetime.fromisoformat(day).replace(tzinfo=cron.zone) - timedelta(seconds=1)
    ticks = [tick_id(tick)[11:] for tick in cron.between(start, start + timedelta(days=1))]
    assert shown
    assert ", ".join(shown) in ", ".join(ticks)


def test_commands() -> None:
    """Each line that is to be typed has options and subcommands that there are."""
    known = {"run": run, "schedule": schedule, "runs": runs}
    lines = re.findall(r"bulkio (run|schedule|runs)\b([^`\n]*)", TEXT)
    assert len(lines) > 8
    for name, rest in lines:
        command, words = known[name], rest.partition("#")[0].partition("   ")[0].split()
        if isinstance(command, click.Group) and words:
            command, words = command.commands[words[0]], words[1:]
        flags = {flag for param in command.params for flag in param.opts}
        assert {word for word in words if word.startswith("--")} <= flags, (name, rest)
