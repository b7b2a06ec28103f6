from __future__ import annotations

import json
import re

from ganzoo.core import registry
from tests.conftest import Command

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
        assert row["conditional"] is (row["name"] in ("acgan", "cgan"))


def test_table_has_a_line_for_each(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("list")
    assert (result.code, result.err) == (0, "")
    for entry in registry.architectures():
        line = rf"^{entry.name} +{re.escape(entry.card.summary)} .*{entry.distribution} {re.escape(entry.version)}"
        assert re.search(line, result.out, re.MULTILINE)
    assert re.search(r"^cgan .* labels ", result.out, re.MULTILINE)
