"""What threads and tasks hand to each other, and what no cancellation cuts off.

group     tasks that fail as one error
streams   a queue between threads and the event loop, bounded in bytes
shelter   work that runs to its end whoever cancels its caller
portal    an event loop in a thread of its own, for sync callers
"""

from bulkio.flow.group import task_group
from bulkio.flow.streams import SCARCE_PROCESSORS, Closed, EndOfStream, Stream, T, feed, processors, pump

__all__ = ["SCARCE_PROCESSORS", "Closed", "EndOfStream", "Stream", "T", "feed", "processors", "pump", "task_group"]
