"""The graph of a pipeline's steps: their order, and its drawing."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from bulkio.errors import ConfigError
from bulkio.show import did_you_mean, show_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkio.pipeline.spec.models import Step

__all__ = ["downstream", "draw", "in_order"]


def in_order(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps, each behind those that it needs; otherwise as the file has them.

    Raises:
        ConfigError: two have the same id, one needs what there is not, or they need each other in a circle.
    """
    by_id: dict[str, Step] = {}
    for step in steps:
        if step.id in by_id:
            raise ConfigError(f"step {show_name(step.id)}: there are two of this id")
        by_id[step.id] = step
    for step in steps:
        for need in step.needs:
            if need not in by_id:
                near = did_you_mean(need, by_id)
                raise ConfigError(
                    f"step {show_name(step.id)}: needs {show_name(need)}, which is not a step; {near}".rstrip("; ")
                )
    try:
        found = list(TopologicalSorter({step.id: step.needs for step in steps}).static_order())
    except CycleError as error:
        circle = " -> ".join(map(show_name, error.args[1]))
        raise ConfigError(f"steps need each other in a circle: {circle}") from None
    level: dict[str, int] = {}
    for name in found:
        level[name] = 1 + max((level[need] for need in by_id[name].needs), default=0)
    return tuple(sorted(steps, key=lambda step: level[step.id]))


def downstream(steps: Sequence[Step], first: str) -> frozenset[str]:
    """Return a step's id and those of all steps that need it, however far behind; the steps are `in_order`."""
    found = {first}
    for step in steps:
        if not found.isdisjoint(step.needs):
            found.add(step.id)
    return frozenset(found)


def draw(steps: Sequence[Step]) -> list[str]:
    """Draw the graph as a tree, a line for each step: it stands under the last of those that it needs.

    Other steps that it needs are named behind it.
    """
    children: dict[str, list[Step]] = {}
    for step in in_order(steps):
        children.setdefault(step.needs[-1] if step.needs else "", []).append(step)
    lines = [*_branches(children)]
    width = max(len(line) for line, _ in lines)
    return [f"{line:{width}}  {_what(step)}" for line, step in lines]


def _branches(children: dict[str, list[Step]]) -> Iterator[tuple[str, Step]]:
    # A stack of its own: a chain of steps may be longer than Python's may be.
    left = [("", "", step) for step in reversed(children.get("", []))]
    while left:
        branch, indent, step = left.pop()
        yield f"{branch}{step.id}", step
        below = children.get(step.id, [])
        for number, child in enumerate(reversed(below)):
            is_last = number == 0
            deeper = indent + ("   " if is_last else "│  ")
            left.append((indent + ("└─ " if is_last else "├─ "), deeper, child))


def _what(step: Step) -> str:
    said = getattr(step, step.kind)
    text = " ".join((said if isinstance(said, str) else "; ".join(said)).split())
    text = text if len(text) <= 60 else f"{text[:59]}…"
    target = getattr(step, "into", None) or getattr(step, "to", None)
    also = step.needs[:-1]
    return (
        f"{step.kind} {text}"
        + (f" -> {target}" if target else "")
        + (" for each item" if step.for_each is not None else "")
        + (f"  (needs {', '.join(also)}, too)" if also else "")
    )
