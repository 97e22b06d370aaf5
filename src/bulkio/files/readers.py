"""Readers of one source, each used by one thread at a time, which the source's end stops from any other thread."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar
from weakref import WeakSet

from bulkio.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Reader", "Readers"]

T = TypeVar("T")


class Reader(Generic[T]):
    """An iterator over what a generator reads. After its source's end it is an error to go on, never the data's end."""

    def __init__(self, name: str, items: Generator[T, None, None]) -> None:
        self._name = name
        self._items = items
        self._is_stopped = False
        self._has_ended = False

    def __iter__(self) -> Reader[T]:
        return self

    def __next__(self) -> T:
        if self._is_stopped and not self._has_ended:
            self._refuse_more()
        try:
            return next(self._items)
        except (StopIteration, ValueError):
            # A generator that was closed, or is being closed by another thread, is not at the end of what it reads.
            if self._is_stopped and not self._has_ended:
                self._refuse_more()
            self._has_ended = True
            raise
        except BaseException:
            self._has_ended = True
            raise

    def close(self) -> None:
        """Close what is open: nobody reads on."""
        self._has_ended = True
        self._items.close()

    def stop(self) -> None:
        """Close what is open, from any thread; where one is reading just now, that one closes it next."""
        self._is_stopped = True
        with suppress(ValueError):  # it runs in another thread
            self._items.close()

    def _refuse_more(self) -> NoReturn:
        self.stop()
        raise FileError(f"{self._name}: was closed while it was being read", path=self._name) from None


class Readers:
    """The readers of a source that are still in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: WeakSet[Reader[object]] = WeakSet()

    def start(self, name: str, items: Generator[T, None, None]) -> Reader[T]:
        """Return a reader of what a generator reads."""
        reader = Reader(name, items)
        with self._lock:
            self._readers.add(reader)  # type: ignore[arg-type]  # of whatever kind
        return reader

    def stop(self) -> None:
        """Stop all of them."""
        with self._lock:
            readers = list(self._readers)
        for reader in readers:
            reader.stop()
