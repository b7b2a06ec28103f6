"""`ganzoo completion SHELL`: shell completion scripts; `completions` provides the values."""

from __future__ import annotations

import os
from typing import ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

VARIABLE = "_GANZOO_COMPLETE"
"""The environment variable through which a shell asks `ganzoo` for completions; click reads it."""


class Bash(BashComplete):
    """Completion for bash, which splits `--set loss=hi` into `--set`, `loss`, `=`, `hi` and replaces only the last."""

    BREAKS: ClassVar[str] = "=:"
    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    COMPREPLY=()
    while IFS=',' read -r type value; do
        COMPREPLY+=("$value")
    done < <(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")
    # no space after a key: its value follows
    if [[ ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2> /dev/null; fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the incomplete one, and the incomplete one, each joined from the parts that bash split."""
        words, at = split_arg_string(os.environ["COMP_WORDS"]), int(os.environ["COMP_CWORD"])
        whole, joining = [""], False
        for word in [*words[:at], *(words[at:] or [""])[:1]]:
            is_break = bool(word) and not word.strip(self.BREAKS)
            if joining or is_break:
                self.prefix = whole[-1] + (word if is_break else "")
                whole[-1] += word
            else:
                self.prefix = ""
                whole.append(word)
            joining = is_break
        return whole[2:-1], whole[-1]

    def format_completion(self, item: CompletionItem) -> str:
        """The text that replaces the last part, which bash considers the whole word."""
        return f"{item.type},{item.value.removeprefix(self.prefix)}"


add_completion_class(Bash)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell completion script.

    \b
    eval "$(ganzoo completion bash)"     # in ~/.bashrc
    eval "$(ganzoo completion zsh)"      # in ~/.zshrc
    ganzoo completion fish | source      # in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all three"
    click.echo(kind.source_template % kind(ctx.find_root().command, {}, "ganzoo", VARIABLE).source_vars())
