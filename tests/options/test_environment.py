"""Variables of the environment in configuration files."""

from __future__ import annotations

import pytest

from bulkio.errors import ConfigError
from bulkio.options.environment import expand_environment


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("a${X}b", "axb"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${X:-d}", "x"),
        ("${NO:-}", ""),
        ("${NO:-a-b:c}${X}", "a-b:cx"),
        ("$X $${X} {X}", "$X $x {X}"),
    ],
)
def test_expanded(text: str, expanded: str) -> None:
    """A default stands for what is unset or empty; a dollar without braces is a dollar."""
    assert expand_environment(text, {"X": "x", "EMPTY": ""}) == expanded


@pytest.mark.parametrize("text", ["${", "hunter2${X", "${}", "${1}", "${A B}", "${X-d}", "${É}"])
def test_a_form_that_is_none(text: str) -> None:
    """It is refused, and the text, which may be a password, is not shown."""
    with pytest.raises(ConfigError, match=r"^there is a \$\{ without a name and a } behind it$"):
        expand_environment(text, {"X": "x"})


def test_a_variable_that_is_not_set() -> None:
    """It is named."""
    with pytest.raises(ConfigError, match=r'^the environment has no variable "NO" \(\$\{NO:-…\} has a default\)$'):
        expand_environment("hunter2${NO}", {})
