"""The page of models says what the registry says."""

from __future__ import annotations

from pathlib import Path

from conviction.models import MODELS, describe

PAGE = Path(__file__).resolve().parents[3] / "docs/models.md"


def test_the_page_is_the_registry():
    """Rewrite the part below the heading with `conviction.models.describe()` when this fails."""
    assert PAGE.read_text(encoding="utf-8").split("## Every model\n\n")[1] == describe()


def test_every_parameter_and_range_is_there():
    text = describe()
    for spec in MODELS.values():
        for dimension in spec.search_space:
            assert f"| `{dimension.name}` |" in text
    assert "| `max_depth` | 3 | ≥ 1, ≤ 16 | 3 to 10 |" in text
    assert "| `early_stopping_metric` | logloss | 'auc', 'logloss' |" in text
