"""Environment variables in the texts of configuration files: ``${NAME}`` and ``${NAME:-default}``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.show import show_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["expand_environment"]

_VARIABLE = re.compile(r"\$\{(?:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\})?", re.ASCII)


def expand_environment(text: str, environ: Mapping[str, str]) -> str:
    """Replace ``${NAME}`` by the variable's value, ``${NAME:-default}`` by the default where it is unset or empty.

    >>> expand_environment("${DIR:-in}/orders.csv", {})
    'in/orders.csv'

    Raises:
        ConfigError: the variable is not set, or the form is not one of the two. The text, in which a password may
            stand, is not shown.
    """

    def expanded(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name is None:
            raise ConfigError("there is a ${ without a name and a } behind it")
        value = environ.get(name)
        if default is not None:
            return value or default
        if value is None:
            raise ConfigError(f"the environment has no variable {show_name(name)} (${{{name}:-…}} has a default)")
        return value

    return _VARIABLE.sub(expanded, text)
