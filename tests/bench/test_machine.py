"""What the machine did during a run."""

from __future__ import annotations

import sys

import pytest

from bulkio.bench.machine import CoreTicks, core_ticks


def test_idle_share_is_that_of_the_time_in_between() -> None:
    """It is a part of all processors' time; where no tick has passed, nobody knows."""
    before = CoreTicks(idle=100, total=1000)
    assert CoreTicks(idle=130, total=1200).idle_share(before) == pytest.approx(0.15)
    assert before.idle_share(before) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/stat")
def test_ticks_of_this_machine_grow() -> None:
    """The kernel's own counters: idle time is a part of all time, and both only grow."""
    first = core_ticks()
    assert first is not None
    while (second := core_ticks()) == first:
        assert second is not None
    assert second is not None
    assert first.total < second.total
    assert first.idle <= second.idle <= second.total
