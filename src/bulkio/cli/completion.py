"""`bulkio completion`."""

from __future__ import annotations

import click

from bulkio.cli.options import debug_option
from bulkio.cli.output import show

__all__ = ["completion"]

SHELLS = ("bash", "zsh", "fish")


@click.command()
@debug_option
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a script that completes commands.

    \b
    bash: add to ~/.bashrc                  eval "$(bulkio completion bash)"
    zsh:  add to ~/.zshrc                   eval "$(bulkio completion zsh)"
    fish: bulkio completion fish > ~/.config/fish/completions/bulkio.fish
    """  # noqa: D301 (\b is click's)
    from click.shell_completion import get_completion_class

    from bulkio.cli.app import app

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this version of click completes nothing in {shell}")
    show(found(app, {}, "bulkio", "_BULKIO_COMPLETE").source().rstrip())
