"""From a request to the functions that take it: their signature and the arguments in their docstring."""

from __future__ import annotations

import functools
import inspect
import textwrap
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from bulkio.options.option import fields_of
from bulkio.show import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bulkio.options.option import OptionField

__all__ = ["described", "refuse_wrong_call", "taking"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

#: names that other tools have for an option that plans and does nothing
_PLANNING = ("dry_run", "dryrun", "explain", "plan", "plan_only")
#: width of a docstring's text, in columns
_WIDTH = 116


def taking(request: Callable[P, R]) -> Callable[[Callable[[R], T]], Callable[P, T]]:
    """Let a function of one request be called with that request's fields, positional and by keyword.

    To type checkers it has the request's signature; at run time too, for help() and editors. Its docstring gets the
    arguments.
    """

    def wrap(function: Callable[[R], T]) -> Callable[P, T]:
        signature = _signature(request, function)

        def made(*args: P.args, **kwargs: P.kwargs) -> R:
            refuse_wrong_call(call, args, kwargs)
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


def refuse_wrong_call(function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
    """Raise TypeError for a call that does not fit a function; where an option is not there, say what is meant."""
    signature = inspect.signature(function)
    name = function.__name__
    for option in kwargs:
        if option not in signature.parameters:
            raise TypeError(f"{name}() has no option {option!r}{_instead(option, name, signature.parameters)}")
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}(): {error}") from None


def _instead(option: str, name: str, known: Iterable[str]) -> str:
    """Return the end of a message: what to use instead of an option; nothing where there is no such thing."""
    if option in _PLANNING and name in ("load", "export"):
        return f": use plan_{name}()"
    near = did_you_mean(option, known)
    return f"; {near}" if near else ""


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
    returned = inspect.signature(function, eval_str=True).return_annotation
    return inspect.Signature(parameters, return_annotation=returned)
