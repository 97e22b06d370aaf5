"""A proxy between a client and a PostgreSQL socket that loses the connection around a statement, such as COMMIT."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Moment = Literal["before the server hears it", "after the server has answered", "and the server is gone", "never"]


@dataclass
class _Link:
    """One connection."""

    client: socket.socket
    server: socket.socket
    is_lost: bool = False
    answered: threading.Event = field(default_factory=threading.Event)


class LossyProxy:
    """Listen on a socket of our own, pass everything on, and lose the connection at the first COMMIT.

    Or at the `nth` statement that has the bytes of another `statement`, on whichever connection it comes.
    With "and the server is gone", later connections are refused too; with "never", nothing is lost but by `stall`.
    `successor` is called when the connection is lost, and gives the DSN of the server that later connections reach.
    """

    def __init__(
        self,
        dsn: str,
        folder: Path,
        moment: Moment,
        successor: Callable[[], str] | None = None,
        *,
        statement: bytes = b"COMMIT\0",
        nth: int = 1,
    ) -> None:
        parts = urlsplit(dsn)
        self._target = _socket_path(dsn)
        self._moment = moment
        self._successor = successor
        self._statement = statement
        #: statements that are still passed on before the one at which the connection is lost
        self._passed = nth - 1
        self._lock = threading.Lock()
        self._lost = False
        self._stalled_until = 0.0
        self._sources: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.dsn = f"{parts.scheme}://{parts.netloc}{parts.path}?host={quote(str(folder), safe='')}&port=5432"
        self._path = folder / ".s.PGSQL.5432"

    @property
    def has_lost(self) -> bool:
        """True once the connection was lost at the statement."""
        return self._lost

    def stall(self, seconds: float) -> None:
        """Pass nothing on for a while, then lose every connection; later ones are passed on again."""
        self._stalled_until = time.monotonic() + seconds
        for source in list(self._sources):
            threading.Timer(seconds, _shut, (source,)).start()

    def __enter__(self) -> LossyProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_listening()
        for thread in self._threads:
            thread.join(10)

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._target)
                except OSError:  # it is just starting again
                    client.close()
                    server.close()
                    continue
                link = _Link(client, server)
                for pass_on in (self._to_server, self._to_client):
                    thread = threading.Thread(target=pass_on, args=(link,))
                    self._threads.append(thread)
                    thread.start()

    def _to_server(self, link: _Link) -> None:
        def watch(data: bytes) -> bool:
            if not self._is_the_one(data):
                return True
            link.is_lost = True
            self._lose(data, link)
            return False

        self._pass_on(link.client, link.server, watch)

    def _to_client(self, link: _Link) -> None:
        def watch(_: bytes) -> bool:
            if link.is_lost:
                link.answered.set()
            return True

        self._pass_on(link.server, link.client, watch)

    def _pass_on(self, source: socket.socket, sink: socket.socket, watch: Callable[[bytes], bool]) -> None:
        self._sources.append(source)
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if (pause := self._stalled_until - time.monotonic()) > 0:
                    time.sleep(pause)
                    break
                if not watch(data):
                    break
                sink.sendall(data)
        for end in (source, sink):
            _shut(end)
        self._sources.remove(source)
        source.close()

    def _is_the_one(self, data: bytes) -> bool:
        if self._moment == "never" or self._statement not in data:
            return False
        with self._lock:
            if self._lost:
                return False
            self._passed -= 1
            self._lost = self._passed < 0
            return self._lost

    def _lose(self, data: bytes, link: _Link) -> None:
        if self._moment == "and the server is gone":
            self._stop_listening()
        if self._successor is not None:
            self._target = _socket_path(self._successor())
        if self._moment == "before the server hears it":
            return
        # The client hears nothing more; the server's answer, which the other thread reads, says that it has committed.
        link.client.shutdown(socket.SHUT_RDWR)
        link.server.sendall(data)
        link.server.shutdown(socket.SHUT_WR)
        link.answered.wait(10)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def _socket_path(dsn: str) -> str:
    query = parse_qs(urlsplit(dsn).query)
    return f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}"
