"""The library's own page of documentation, written from the declarations."""

from __future__ import annotations

from importlib import import_module

from conviction.features._registry import FAMILIES, definitions
from conviction.features._sets import FEATURE_SETS, SET_DESCRIPTIONS
from conviction.features.parameters import FeatureParameters

_HEAD = """# Features

This page is written by `conviction.features.describe()`; a test keeps it up to date.

A feature is a pure function of the rows of its symbol up to its own (cross-sectional families: of all symbols up to the
session). Its values are Float32 and null where they cannot be computed: until a full window of real values exists, or
where an input inside the window is missing. A window counts the symbol's own rows. *Look-back* is the number of earlier
rows that may change the value; "no end" marks exponential means. Changing the windows in `FeatureParameters` changes
the names; families whose parameters are meant to be tuned keep their names.

A symbol that misses a session has no row there: its windows go on with its own rows, and no empty row is inserted.
Indicators that TA-Lib has come from TA-Lib, fed symbol by symbol; window statistics are computed afresh for each window, so
that a value depends on its window alone, to the last bit; Alpha158 runs compiled kernels. A new family is one file in
`families/`, its parameter model and one line in the registry; the same suite then judges it that judges a feature of yours:

```python
from conviction.features import FeatureParameters, build_features
from conviction.testing import check_features, synthetic_market

bars = synthetic_market(n_symbols=4, n_sessions=150, seed=1).bars
parameters = FeatureParameters(sets=(), names=("ret_5d", "rsi_14", "MA20"))
failures = check_features(lambda panel: build_features(panel, features=parameters), bars)
assert failures == {}
```

A feature whose input columns the panel lacks is left out with its reason, never filled. Columns beside the bars:

| column | dtype | what it holds |
|---|---|---|
| `market_close`, `vix_close`, `{asset}_close` | Float64 | one value a session, as of the decision |
| `vwap` | Float64 | volume-weighted average price of the session |
| `sector` | String | sector of the stock as of the decision, null where unknown |
| `in_universe` | Boolean | whether the stock belongs to the universe of the session; others are neither ranked nor counted |
| `macro_{series}` | Float64 | newest value released by the decision, never by reference period |
| `iv_30d`, `iv_60d` | Float64 | implied volatility of 30 and 60 days, annualised (0.2 is 20 %) |
| `put_call_ratio` | Float64 | put over call volume |
| `news_score` | Float64 | mean sentiment, -1 to 1, of the items known since the previous decision; null where none |
| `news_count` | Int64 or Float64 | number of those items; 0 where none |
| `news_source` | String | their source |
| `event_next`, `event_last` | Date | next announced and last past event of the company, as known at the decision |
"""

_TUNABLE = """Every window is a parameter of `FeatureParameters`. These keep the names of their features whatever their value is, so that a
search (`tunable_parameters`, `with_tuned`, `rebuild_features`) or a run (`--params=features.vix.momentum_window=10`) may change them;
`news.source_weights.{source}` weighs each source of news by its name."""


def describe(parameters: FeatureParameters | None = None) -> str:
    """Return the Markdown page of all sets and features.

    Parameters
    ----------
    parameters : FeatureParameters, optional
        Windows to describe; the defaults if not given.

    Returns
    -------
    str
        Markdown, ending with a newline.

    Examples
    --------
    >>> "| `rsi_14` |" in describe()
    True
    """
    declared = definitions(parameters or FeatureParameters())
    lines = [_HEAD, "## Sets", "", "| set | features | what it is |", "|---|---|---|"]
    lines += [f"| `{name}` | {len(members)} | {SET_DESCRIPTIONS[name]} |" for name, members in FEATURE_SETS.items()]
    for name, members in FEATURE_SETS.items():
        if name not in {"alpha158", "all"}:
            lines += ["", f"**{name}**: " + ", ".join(f"`{member}`" for member in members) + "."]
    lines += [
        "",
        "## Parameters that may be searched",
        "",
        _TUNABLE,
        "",
        "| parameter | range | changes |",
        "|---|---|---|",
    ]
    for tunable in (one for family in FAMILIES.values() for one in family.tunables):
        scale = ", logarithmic" if tunable.log else ""
        changed = ", ".join(f"`{name}`" for name in tunable.features)
        lines.append(f"| `{tunable.name}` | {tunable.low:g} to {tunable.high:g}{scale} | {changed} |")
    lines += ["", f"## Families ({len(declared)} features)"]
    for name, family in FAMILIES.items():
        text = (import_module(family.define.__module__).__doc__ or "").strip()
        lines += [
            "",
            f"### {name}",
            "",
            text,
            "",
            "| feature | inputs | look-back | known at | what it is |",
            "|---|---|---|---|---|",
        ]
        for definition in declared.values():
            feature = definition.feature
            if feature.family == name:
                reach = "no end" if feature.lookback is None else str(feature.lookback)
                inputs = ", ".join(feature.inputs)
                what = feature.description.replace("|", "\\|")
                lines.append(f"| `{feature.name}` | {inputs} | {reach} | {feature.availability} | {what} |")
    return "\n".join(lines) + "\n"
