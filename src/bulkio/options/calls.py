"""From a request to the functions that take it: their signature and the arguments in their docstring."""

from __future__ import annotations

import functools
import inspect
import textwrap
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from bulkio.options.option import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkio.options.option import OptionField

__all__ = ["described", "taking"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

#: columns of a docstring's text
_WIDTH = 116


def taking(request: Callable[P, R]) -> Callable[[Callable[[R], T]], Callable[P, T]]:
    """Let a function of one request be called with that request's fields, positional and by keyword.

    To type checkers it has the request's signature; at run time too, for help() and editors. Its docstring gets the
    arguments.
    """

    def wrap(function: Callable[[R], T]) -> Callable[P, T]:
        signature = _signature(request, function)

        def made(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}(): {error}") from None
            return request(*args, **kwargs)

        if inspect.iscoroutinefunction(function):

            async def later(*args: P.args, **kwargs: P.kwargs) -> object:
                return await function(made(*args, **kwargs))

            call = cast("Callable[P, T]", later)
        else:

            def call(*args: P.args, **kwargs: P.kwargs) -> T:
                return function(made(*args, **kwargs))

        functools.update_wrapper(call, function)
        call.__doc__ = described(function.__doc__, request)
        call.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
        del call.__wrapped__  # type: ignore[attr-defined]  # it takes a request
        call.__signature__ = signature  # type: ignore[attr-defined]
        return call

    return wrap


def described(doc: str | None, request: Callable[..., object]) -> str:
    """Return a docstring with the arguments of a request, ahead of what it raises."""
    text = inspect.cleandoc(doc or "")
    args = "Args:\n" + "\n".join(_lines(each) for each in fields_of(request))
    head, raises, tail = text.partition("\n\nRaises:")
    return f"{head}\n\n{args}{raises}{tail}\n"


def _lines(option: OptionField) -> str:
    words = " or ".join(", ".join(f'"{word}"' for word in option.words).rsplit(", ", 1))
    text = f"{option.name}: {words + '. ' if words else ''}{option.option.help}"
    if option.option.default is not None:
        text += f" None: {option.option.default}."
    return textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="        ")


def _signature(request: Callable[..., object], function: Callable[..., object]) -> inspect.Signature:
    kinds = {True: inspect.Parameter.KEYWORD_ONLY, False: inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = [
        inspect.Parameter(each.name, kinds[each.is_keyword], default=each.default, annotation=each.hint)
        for each in fields_of(request)
    ]
    return inspect.Signature(parameters, return_annotation=inspect.signature(function).return_annotation)
