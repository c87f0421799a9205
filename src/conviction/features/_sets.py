"""Named sets of features. The teams' lists that gave the sets their names are not known; these are ours."""

from __future__ import annotations

from conviction.errors import FeatureError
from conviction.features._feature import Definition
from conviction.features._registry import definitions
from conviction.features.parameters import FeatureParameters

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
    "alpha158": ("family:alpha158",),
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
            raise FeatureError.from_unknown_name("feature", name, declared)  # noqa: EM101
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
