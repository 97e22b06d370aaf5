"""The value of an added column: a text with placeholders such as {file}. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from bulkio.errors import ConfigError
from bulkio.show import did_you_mean, show_name, show_option, show_value

__all__ = ["PLACEHOLDERS", "Template", "check_templates", "read_template"]

#: placeholders, each with what it stands for
PLACEHOLDERS = {
    "file": "the path of the row's file",
    "row": "the row's number in the source, from 1, as errors name it",
    "now": "the time of the load's transaction, one for all rows",
    "load_id": "the name that load_id gives the load",
}


@dataclass(frozen=True, slots=True)
class Template:
    """What stands in a column: literal texts, each with the placeholder behind it, "" for none.

    >>> read_template("row {row}{{}}")
    Template(parts=(('row ', 'row'), ('{}', '')))
    """

    parts: tuple[tuple[str, str], ...]

    @property
    def names(self) -> frozenset[str]:
        """The placeholders in it."""
        return frozenset(name for _, name in self.parts if name)

    @property
    def only(self) -> str:
        """The placeholder that it is, if it is nothing else; "" for any other text."""
        return self.parts[0][1] if len(self.parts) == 1 and not self.parts[0][0] else ""

    def text(self, values: Mapping[str, str]) -> str:
        """Return it with these values in their places."""
        return "".join(literal + (values[name] if name else "") for literal, name in self.parts)


def read_template(text: str) -> Template:
    """Read a value as the user writes it; a brace that is meant as one is doubled.

    Raises:
        ConfigError: a brace that stands alone, or a placeholder that there is not.
    """
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise ConfigError("has a brace that stands alone: write {{ and }} for braces") from None
    merged: list[tuple[str, str]] = []
    literal = ""
    for before, name, spec, conversion in parts:  # a doubled brace begins a part of its own
        literal += before
        if name is None:
            continue
        if name not in PLACEHOLDERS or spec or conversion:
            raise ConfigError(_unknown(name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")))
        merged.append((literal, name))
        literal = ""
    return Template((*merged, *([(literal, "")] if literal or not merged else [])))


def _unknown(name: str) -> str:
    known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
    mend = did_you_mean(name, PLACEHOLDERS)
    return f"has {{{name}}}, which is not a placeholder: there are {known}; {mend or 'write {{ and }} for braces'}"


def check_templates(option: str, values: object) -> None:
    """Refuse values of columns that no template can be."""
    for column, text in values.items() if isinstance(values, Mapping) else ():
        if not isinstance(text, str):
            raise ConfigError(f"{show_option(option)} has {text!r} for {show_name(column)}: give it as text")
        try:
            read_template(text)
        except ConfigError as error:
            raise ConfigError(f"{show_option(option)} of {show_name(column)}: {show_value(text)} {error}") from None
