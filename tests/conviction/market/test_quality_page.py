from __future__ import annotations

import re
from pathlib import Path

from conviction.market import AGGREGATE_ERRORS
from conviction.market._adjust import _SPLIT_RULES
from conviction.market._rules import _FACTS, ROW_RULES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "data-quality.md"


def test_the_page_has_every_rule_with_its_severity_and_no_other():
    rows = re.findall(r"^\| `(\w+)` \| (error|warning|info) \|", PAGE.read_text(), flags=re.MULTILINE)
    stated = dict(rows)
    assert len(stated) == len(rows)
    known = {rule.name: rule.severity for rule in ROW_RULES}
    known |= {name: severity for name, (severity, _) in _SPLIT_RULES.items()}
    known |= dict.fromkeys(AGGREGATE_ERRORS, "error")
    known |= dict.fromkeys(_FACTS, "info")
    known |= {
        "partial_session": "warning",
        "partial_file": "warning",
        "sparse_bars": "warning",
        "extended_hours": "info",
        "ignored_columns": "info",
    }
    assert stated == known
