"""Fixtures: a locale with another decimal point."""

from __future__ import annotations

import locale
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gaps import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["de_DE", "ps_AF"])
def decimal_comma(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make and set a locale with another decimal point: a comma, or one of two bytes."""
    localedef = shutil.which("localedef")
    if localedef is None or not Path("/usr/share/i18n/locales", request.param).exists():
        lacking("localedef and the sources of locales (Debian: locales)")
    made = tmp_path / f"{request.param}.UTF-8"
    subprocess.run([localedef, "-i", request.param, "-f", "UTF-8", made], check=True)  # fixed words
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    before = locale.setlocale(locale.LC_NUMERIC)
    locale.setlocale(locale.LC_NUMERIC, made.name)
    yield locale.localeconv()["decimal_point"]
    locale.setlocale(locale.LC_NUMERIC, before)
