"""Sentiment of news that was published before the decision.

`news_score` is the mean sentiment, from -1 to 1, of the items that became known between the previous decision and this
one, null where there were none; `news_count` is their number, 0 where there were none; `news_source` names their source.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from conviction.features._feature import AT_DECISION, Definition, Family, FamilyParameters, Feature, Formula, Tunable
from conviction.features._rows import Floats, Rows, divide
from conviction.features._windows import Window


class NewsParameters(FamilyParameters):
    """Parameters of the news family; their names keep when they are tuned.

    Parameters
    ----------
    threshold : float
        Scores closer to zero than this count as neutral: 0.
    lookback : int
        Window of the news features, in own rows.
    surprise_window : int
        Longer window with which `news_surprise` compares the newest count.
    source_weights : dict of str to float
        Weight of each source in the weighted features; a source that is not named weighs 1.
    """

    threshold: float = Field(default=0.05, ge=0.0, le=1.0)
    lookback: Window = 5
    surprise_window: Window = 20
    source_weights: dict[str, float] = Field(default_factory=dict)


ITEMS = ("news_score", "news_count")


def define(parameters: NewsParameters) -> list[Definition]:
    """Define the news features."""
    window, longer, threshold = parameters.lookback, parameters.surprise_window, parameters.threshold
    weights = parameters.source_weights

    def score(rows: Rows) -> Floats:
        values = rows["news_score"]
        return np.where(np.isnan(values) | (np.abs(values) < threshold), 0.0, values)

    def items(rows: Rows) -> Floats:
        # A count without a score cannot speak for the sentiment.
        return np.where(np.isnan(rows["news_score"]), rows["news_count"] * 0.0, rows["news_count"])

    def sentiment(rows: Rows) -> Floats:
        return divide(rows.sum(score(rows) * items(rows), window), rows.sum(items(rows), window))

    def weighted(rows: Rows) -> Floats:
        heavy = items(rows) * _weights(rows, weights)
        return divide(rows.sum(score(rows) * heavy, window), rows.sum(heavy, window))

    def balance(rows: Rows) -> Floats:
        return divide(rows.sum(np.sign(score(rows)) * items(rows), window), rows.sum(items(rows), window))

    def surprise(rows: Rows) -> Floats:
        counts = np.log1p(rows["news_count"])
        return counts - rows.mean(counts, longer)

    where = f"of {window} rows, scores within {threshold:g} of zero as 0"
    return [
        _make("news_sentiment", ITEMS, window - 1, f"mean score of the items {where}; null without items", sentiment),
        _make(
            "news_sentiment_weighted",
            (*ITEMS, "news_source"),
            window - 1,
            f"news_sentiment with items weighted by source, {where}",
            weighted,
        ),
        _make("news_balance", ITEMS, window - 1, f"share of positive less share of negative items {where}", balance),
        _make(
            "news_sentiment_change",
            ITEMS,
            2 * window - 1,
            f"news_sentiment less the same {window} rows earlier",
            lambda rows: sentiment(rows) - rows.lag(sentiment(rows), window),
        ),
        _make(
            "news_volume",
            ("news_count",),
            window - 1,
            f"ln(1 + number of items of {window} rows)",
            lambda rows: np.log1p(rows.sum(rows["news_count"], window)),
        ),
        _make(
            "news_surprise",
            ("news_count",),
            longer - 1,
            f"ln(1 + number of items) less its mean of {longer} rows",
            surprise,
        ),
    ]


def _make(name: str, inputs: tuple[str, ...], lookback: int, text: str, formula: Formula) -> Definition:
    return Definition(Feature(name, "news", inputs, lookback, AT_DECISION, text), formula)


def _weights(rows: Rows, weights: dict[str, float]) -> Floats:
    found: Floats = (
        rows.series("news_source").replace_strict(weights, default=1.0, return_dtype=None).to_numpy()
        if weights
        else np.ones(rows.height)
    )
    return found


TUNABLES = (
    Tunable(
        name="news.threshold",
        kind="float",
        low=0.0,
        high=0.5,
        features=("news_sentiment", "news_sentiment_weighted", "news_balance", "news_sentiment_change"),
    ),
    Tunable(
        name="news.lookback",
        kind="int",
        low=2,
        high=60,
        log=True,
        features=("news_sentiment", "news_sentiment_weighted", "news_balance", "news_sentiment_change", "news_volume"),
    ),
    Tunable(name="news.surprise_window", kind="int", low=5, high=120, log=True, features=("news_surprise",)),
    Tunable(name="news.source_weights", kind="float", low=0.0, high=3.0, features=("news_sentiment_weighted",)),
)
FAMILY = Family("news", "symbol", define, tunables=TUNABLES)
