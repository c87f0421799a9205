"""Named sets of features. The teams' lists that gave the sets their names are not known; these are ours."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from conviction.errors import FeatureError
from conviction.features._feature import Definition
from conviction.features._registry import FAMILIES, definitions
from conviction.features.parameters import FeatureParameters

_LAGGED = (
    *("ret_1d", "ret_2d", "ret_3d", "ret_5d", "ret_10d", "ret_20d"),
    *("ret_1d_lag1", "ret_3d_lag1", "ret_5d_lag1", "ret_1d_lag2", "ret_1d_lag3", "ret_1d_lag4", "ret_1d_lag5"),
)
_CROSS_ASSET = (
    *("rel_market_1d", "rel_market_5d", "rel_market_20d", "market_ret_1d", "market_ret_5d", "market_ret_20d"),
    *("market_ret_1d_lag1", "market_ret_1d_lag2", "beta_60", "corr_market_60", "resid_market_1d"),
    *("rel_qqq_1d", "rel_qqq_5d", "qqq_ret_1d", "qqq_ret_1d_lag1"),
)
_COMBINED = (
    *_LAGGED,
    *_CROSS_ASSET,
    *("vol_5", "vol_20", "vol_60", "vol_ratio_5_20"),
    *("mom_60", "mom_120", "close_to_high_60", "up_share_20", "trend_20"),
)
_PROCESSED = (
    *(
        "ret_1d",
        "ret_2d",
        "ret_3d",
        "ret_5d",
        "ret_10d",
        "ret_20d",
        "ret_60d",
        "ret_1d_lag1",
        "ret_3d_lag1",
        "ret_5d_lag1",
    ),
    *("sma_ratio_5", "sma_ratio_10", "sma_ratio_20", "sma_ratio_60", "ema_ratio_12", "ema_ratio_26", "sma_cross_5_20"),
    *("sma_cross_20_60", "kama_ratio_30", "rsi_6", "rsi_14", "macd", "macd_signal", "macd_hist", "bb_pct", "bb_width"),
    *("cmo_14", "trix_15", "stoch_rsi_14", "stoch_k", "stoch_d", "willr_14", "cci_20", "adx_14", "plus_di_14"),
    *("minus_di_14", "aroon_osc_25", "ultosc", "bop", "sar_gap", "mom_60", "close_to_high_60", "up_share_20"),
    *("vol_5", "vol_20", "vol_60", "vol_ratio_5_20", "natr_14", "parkinson_20", "garman_klass_20", "range_pct"),
    *("overnight_ret", "intraday_ret", "volume_ratio_20", "volume_z_20", "obv_share_20", "mfi_14", "chaikin_osc"),
    *("amihud_20", "vwap_ratio_20", "volume_change_1d", "day_of_week", "weekdays_to_month_end"),
)
_ENHANCED = (
    *_PROCESSED,
    *(
        "ret_1d_lag2",
        "ret_1d_lag3",
        "ret_1d_lag4",
        "ret_1d_lag5",
        "mom_120",
        "mom_252",
        "trend_20",
        "efficiency_20",
        "close_to_low_60",
    ),
    *("skew_20", "kurt_20", "downside_vol_20", "vol_ewma", "vol_of_vol_20", "yang_zhang_20", "rogers_satchell_20"),
    *("aroon_up_25", "aroon_down_25", "linreg_slope_14", "tsf_gap_14", "tema_ratio_20", "ppo", "ht_period"),
    *("dollar_volume_20", "corr_ret_volume_20", "roll_spread_20", "corwin_schultz_20", "is_month_turn"),
    *("rel_market_1d", "rel_market_5d", "rel_market_20d", "market_ret_1d", "market_ret_5d", "market_ret_1d_lag1"),
    *("beta_60", "corr_market_60", "idio_vol_60", "resid_market_1d", "rel_qqq_1d", "qqq_ret_1d_lag1"),
    *("xs_rank_ret_1d", "xs_rank_ret_5d", "xs_rank_ret_20d", "xs_rank_vol_20", "xs_resid_ret_1d", "xs_breadth"),
    *("xs_dispersion", "vix_level", "vix_momentum", "vix_regime", "vix_rank", "vix_premium"),
    *("macro_dgs10_change", "macro_t10y2y_level", "macro_unrate_change", "macro_cpiaucsl_change"),
    *("iv_rank", "iv_term_slope", "iv_premium", "put_call_gap"),
    *("news_sentiment", "news_sentiment_weighted", "news_volume"),
    *("days_to_event", "days_since_event"),
)

#: Everything of a family is written "family:NAME", so that the set follows the family's windows.
_SETS: dict[str, tuple[str, ...]] = {
    "quick": (
        *("ret_1d", "ret_2d", "ret_5d", "ret_10d", "ret_20d", "ret_1d_lag1", "ret_3d_lag1", "ret_5d_lag1"),
        *("mom_60", "mom_120", "mom_252", "close_to_high_60", "close_to_low_60", "up_share_20"),
        *("vol_5", "vol_20", "vol_60", "vol_ratio_5_20", "downside_vol_20"),
        *("sma_ratio_5", "sma_ratio_20", "sma_ratio_60", "sma_cross_5_20", "ema_ratio_12", "ema_ratio_26"),
        *("rsi_6", "rsi_14", "macd", "macd_signal", "macd_hist", "bb_pct", "bb_width"),
        *("rel_market_1d", "rel_market_5d", "rel_market_20d", "beta_60", "resid_market_1d", "market_ret_1d"),
        *("xs_rank_ret_1d", "xs_rank_ret_5d", "xs_rank_ret_20d", "xs_rank_vol_20"),
        *("overnight_ret", "range_pct", "garman_klass_20", "natr_14", "volume_ratio_20", "amihud_20", "mfi_14"),
        *("day_of_week", "weekdays_to_month_end"),
    ),
    "lagged": _LAGGED,
    "cross_asset": _CROSS_ASSET,
    "combined": _COMBINED,
    "processed": _PROCESSED,
    "enhanced": _ENHANCED,
    "alpha158": ("family:alpha158",),
    "all": tuple(f"family:{name}" for name in FAMILIES),
}

#: What each set is for.
SET_DESCRIPTIONS: dict[str, str] = {
    "quick": "the default: closes and a market index suffice; seven more where the source has whole bars",
    "lagged": "returns and lagged returns alone, the first of the feature groups that are compared per symbol",
    "cross_asset": "the stock against the market and a second index, and their lags: the second group",
    "combined": "both groups with volatility and momentum",
    "processed": "technical indicators of the daily bar",
    "enhanced": "`processed` with market, cross-section, VIX, macro, options, news and events",
    "alpha158": "the factors of Qlib's Alpha158",
    "all": "every feature there is",
}


def select(parameters: FeatureParameters) -> tuple[list[Definition], dict[str, str]]:
    """Resolve the selection of `parameters`.

    Returns
    -------
    chosen : list of Definition
        In registry order, each once.
    omitted : dict of str to str
        Names that a set lists but these windows do not declare, with the reason.

    Raises
    ------
    FeatureError
        On an unknown set, an unknown name, or an empty selection.
    """
    declared = definitions(parameters)
    wanted: dict[str, None] = {}
    omitted: dict[str, str] = {}
    for set_name in parameters.sets:
        if set_name not in _SETS:
            raise FeatureError.from_unknown_name("feature set", set_name, _SETS)  # noqa: EM101 (a kind, not a message)
        for name in _members(_SETS[set_name], declared):
            if name in declared:
                wanted[name] = None
            else:
                omitted[name] = f"the set {set_name!r} lists it, but the windows in the parameters do not declare it"
    for name in (*parameters.names, *parameters.exclude):
        if name not in declared and name not in omitted:
            raise unknown_feature(name, declared)
    wanted.update(dict.fromkeys(parameters.names))
    for name in parameters.exclude:
        wanted.pop(name, None)
        omitted.pop(name, None)
    if not wanted:
        raise FeatureError(
            what="no feature is selected",
            got=f"sets={parameters.sets}, names={parameters.names}, exclude={parameters.exclude}",
            allowed=f"at least one feature; sets are {sorted(_SETS)}",
            fix="name a set in features.sets",
        )
    return [definition for name, definition in declared.items() if name in wanted], omitted


def unknown_feature(name: str, known: Iterable[str]) -> FeatureError:
    """Return the error for a name nobody declares: hundreds are known, so it shows the nearest ones alone."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "look it up in docs/features.md"
    return FeatureError(
        what="unknown feature", got=repr(name), allowed=f"one of {len(names)} declared or selected features", fix=hint
    )


def _members(listed: tuple[str, ...], declared: dict[str, Definition]) -> list[str]:
    found: list[str] = []
    for entry in listed:
        kind, _, family = entry.partition(":")
        if kind == "family":
            found += [name for name, definition in declared.items() if definition.feature.family == family]
        else:
            found.append(entry)
    return found


#: Names of each set's features under default parameters.
FEATURE_SETS: dict[str, tuple[str, ...]] = {
    name: tuple(_members(listed, definitions(FeatureParameters()))) for name, listed in _SETS.items()
}
