"""The Makefile's targets say what they are at while they set up."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_demo_says_what_it_is_doing() -> None:
    """Before each command that takes long (making the environment, pip, the compiler) stands a line that is printed."""
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", "demo"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    slow = [i for i, line in enumerate(lines) if any(w in line for w in ("-m venv", "pip -", "build_ext"))]
    assert len(slow) >= 4
    assert [lines[i] for i in slow if not lines[i - 1].startswith("echo ")] == []
