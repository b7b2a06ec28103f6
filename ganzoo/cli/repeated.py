"""Commands that refuse an option given twice, if its last value would silently replace the others."""

from __future__ import annotations

import click

ONCE = ("config", "dataset", "freeze", "loss", "metric", "metrics", "model", "penalty", "recipe", "seeds", "to")
"""Options that look as if they could be repeated. Any other, such as --device, keeps its last value, so that an
alias can contain it."""


class Command(click.Command):
    """A command that takes one value of each option in `ONCE`, unless it declares that it takes several."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(args=[*args])
        for option in given:
            once = isinstance(option, click.Option) and not option.multiple and option.name in ONCE
            if once and given.count(option) > 1 and not ctx.resilient_parsing:
                name = option.opts[0]
                value = f" {option.metavar}" if option.metavar else ""
                ctx.fail(f"{name} is given twice, and only the last would count. Write one {name}{value}.")
        return super().parse_args(ctx, args)
