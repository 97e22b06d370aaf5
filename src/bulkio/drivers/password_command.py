"""A password that a command prints, asked for anew at each connection: tokens expire."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError, ConnectError
from bulkio.show import printable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PasswordCommand"]

#: characters of a command's stderr that a message shows, from its end
_SHOWN = 400


@dataclass(frozen=True, slots=True)
class PasswordCommand:
    """A command whose first line of output is the password (`pass show` prints more)."""

    #: program and its arguments; no shell reads them
    command: tuple[str, ...]
    #: folder that it runs in: that of the file it stands in
    folder: Path
    timeout_s: float
    #: place of the command in its file, for messages
    place: str

    def __call__(self) -> str:
        """Run the command; return the password.

        Raises:
            ConfigError: there is no such program, or it may not be run.
            ConnectError: it failed, took too long or printed nothing. The message has its stderr, never its stdout.
        """
        try:
            done = subprocess.run(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = _said(late.stderr or b"", late.stdout or b"")
            reason = f"did not end within {self.timeout_s:g} s (password_timeout){said}"
        except OSError as error:
            program = printable(self.command[0])
            raise ConfigError(f"{self.place}: {program} cannot be run: {error.strerror}") from None
        else:
            password = done.stdout.decode(errors="surrogateescape").partition("\n")[0].rstrip("\r")
            if done.returncode == 0 and password:
                return password
            said = _said(done.stderr, done.stdout)
            reason = f"printed no password{said}" if done.returncode == 0 else f"{_end(done.returncode)}{said}"
        raise ConnectError(f"{self.place}: the command {reason}", retryable=True) from None


def _end(code: int) -> str:
    return f"failed with exit code {code}" if code >= 0 else f"was ended by signal {-code}"


def _said(stderr: bytes, stdout: bytes) -> str:
    """Return the end of a message: what stands on stderr, without what stands on stdout as well."""
    text = stderr.decode(errors="replace").strip()
    for line in stdout.decode(errors="replace").split("\n"):
        if line.strip():
            text = text.replace(line.strip(), "…")
    return f": {printable(' '.join(text[-_SHOWN:].split()))}" if text else ", and said nothing"
