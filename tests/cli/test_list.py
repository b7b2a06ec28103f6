from __future__ import annotations

import json
import re

from ganzoo.core import registry
from tests.conftest import Command, Site

CONDITIONAL = ("acgan", "biggan", "cgan", "projection", "r3gan-cond", "sagan", "sgan", "stylegan2-cond", "wavegan-cond")
KEYS = ["name", "summary", "paper", "conditional", "paired", "distribution", "version", "status", "error"]


def test_json_has_exactly_the_promised_keys(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("list", "--json")
    assert (result.code, result.err) == (0, "")
    rows = json.loads(result.out)
    assert [row["name"] for row in rows] == sorted(entry.name for entry in registry.architectures())
    for row in rows:
        assert list(row) == KEYS
        card = registry.get_architecture(row["name"]).card
        assert (row["summary"], row["paper"]) == (card.summary, card.paper)
        assert (row["status"], row["error"]) == ("ok", None)
        assert row["conditional"] is (row["name"] in CONDITIONAL)


def test_table_has_a_line_for_each(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("list")
    assert (result.code, result.err) == (0, "")
    for entry in registry.architectures():
        line = rf"^{entry.name} +{re.escape(entry.card.summary)} .*{entry.distribution} {re.escape(entry.version)}"
        assert re.search(line, result.out, re.MULTILINE)
    assert re.search(r"^cgan .* labels ", result.out, re.MULTILINE)
    groups = re.split(r"^(Unconditional|Class-conditional|Image to image|Audio) *$", result.out, flags=re.MULTILINE)[1:]
    names = {title: re.findall(r"^([\w-]+) ", block, re.MULTILINE) for title, block in zip(groups[::2], groups[1::2])}
    assert {"dcgan", "sngan", "vanilla", "bigan", "sgan"} <= set(names["Unconditional"])
    assert {"pix2pix", "cyclegan", "srgan"} <= set(names["Image to image"])
    assert names["Audio"] == ["name", "wavegan", "wavegan-cond"]
    assert {"acgan", "cgan", "projection"} <= set(names["Class-conditional"])


def test_all_lists_every_kind_with_origin_and_state_without_importing_what_needs_torch(site: Site) -> None:
    site.add("stuck", 'raise RuntimeError("stuck")', {"stuck": "X"}, losses={"stuck_loss": "X", "hinge": "X"})
    site.add("lost", "", metrics={"lost": "X"})
    points = site.path / "lost-1.0.dist-info" / "entry_points.txt"
    points.write_text("[ganzoo.metrics]\nlost = no_such_package.metrics:X\n[ganzoo.loggers]\nshapeless = lost\n")
    result = site.run("list", "--all", "--json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)
    states = {(row["kind"], row["name"], row["distribution"]): (row["status"], row["error"]) for row in rows}
    assert states["architecture", "cgan", "ganzoo-core"] == states["data set", "mnist", "ganzoo-core"] == ("ok", None)
    for kind, name in (("loss", "hinge"), ("penalty", "r1"), ("metric", "fid"), ("logger", "tensorboard")):
        assert states[kind, name, "ganzoo-core"] == ("installed", None)
    assert states["architecture", "stuck", "stuck"] == ("broken", "RuntimeError: stuck")
    assert states["loss", "stuck_loss", "stuck"] == ("installed", None)
    assert re.search("also claimed by ganzoo-core .*use it as stuck:hinge", states["loss", "hinge", "stuck"][1])
    assert states["metric", "lost", "lost"] == ("broken", "ModuleNotFoundError: No module named 'no_such_package'")
    assert states["logger", "shapeless", "lost"][0] == "broken"
    table = site.run("list", "--all").out
    assert re.search(r"^metric +lost +broken: ModuleNotFoundError.* lost 1.0", table, re.MULTILINE)
    assert re.search(r"^data set +mnist +ok +.*ganzoo-core", table, re.MULTILINE)
