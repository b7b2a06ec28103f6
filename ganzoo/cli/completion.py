"""`ganzoo completion SHELL`: the script that makes a shell ask for `words`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_GANZOO_COMPLETE"
"""By this variable, the one that click looks at, a shell asks `ganzoo` for words."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which SHELL completes ganzoo's commands, names and settings.

    \b
    eval "$(ganzoo completion bash)"     # in ~/.bashrc
    eval "$(ganzoo completion zsh)"      # in ~/.zshrc
    ganzoo completion fish | source      # in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all three"
    click.echo(kind.source_template % kind(ctx.find_root().command, {}, "ganzoo", VARIABLE).source_vars())
