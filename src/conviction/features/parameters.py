"""Parameters of the feature library: which features, and the windows of each family."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from conviction.features._rows import Within
from conviction.features.families.alpha158 import Alpha158Parameters
from conviction.features.families.averages import AveragesParameters
from conviction.features.families.calendar import CalendarParameters
from conviction.features.families.cross_asset import CrossAssetParameters
from conviction.features.families.cross_section import CrossSectionParameters
from conviction.features.families.events import EventsParameters
from conviction.features.families.macro import MacroParameters
from conviction.features.families.market_relative import MarketRelativeParameters
from conviction.features.families.momentum import MomentumParameters
from conviction.features.families.news import NewsParameters
from conviction.features.families.options import OptionsParameters
from conviction.features.families.oscillators import OscillatorsParameters
from conviction.features.families.ranges import RangesParameters
from conviction.features.families.returns import ReturnsParameters
from conviction.features.families.sector import SectorParameters
from conviction.features.families.technical import TechnicalParameters
from conviction.features.families.vix import VixParameters
from conviction.features.families.volatility import VolatilityParameters
from conviction.features.families.volume import VolumeParameters


class FeatureParameters(BaseModel):
    """Selection and windows of features.

    The defaults of windows are the customary ones of their literature; no default here decides whether a number is
    honest, since every feature is past-only whatever its windows are.

    Parameters
    ----------
    sets : tuple of str
        Names of feature sets, keys of `FEATURE_SETS`; their union is built.
    names : tuple of str
        Further features by name.
    exclude : tuple of str
        Features of the sets to leave out.
    within : {"symbol", "session"}
        What no window reaches out of; "session" is for intraday bars whose windows start anew each day.
    returns, momentum, volatility, averages, oscillators, ranges, volume, technical, market_relative, cross_asset,
    cross_section, sector, vix, macro, options, news, events, calendar, alpha158
        Windows and other parameters of each family.

    Examples
    --------
    >>> FeatureParameters(names=("ret_1d",), sets=()).returns.windows
    (1, 2, 3, 5, 10, 20, 60)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sets: tuple[str, ...] = ("quick",)
    names: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    within: Within = "symbol"
    returns: ReturnsParameters = ReturnsParameters()
    momentum: MomentumParameters = MomentumParameters()
    volatility: VolatilityParameters = VolatilityParameters()
    averages: AveragesParameters = AveragesParameters()
    oscillators: OscillatorsParameters = OscillatorsParameters()
    ranges: RangesParameters = RangesParameters()
    volume: VolumeParameters = VolumeParameters()
    market_relative: MarketRelativeParameters = MarketRelativeParameters()
    cross_section: CrossSectionParameters = CrossSectionParameters()
    cross_asset: CrossAssetParameters = CrossAssetParameters()
    events: EventsParameters = EventsParameters()
    macro: MacroParameters = MacroParameters()
    news: NewsParameters = NewsParameters()
    options: OptionsParameters = OptionsParameters()
    technical: TechnicalParameters = TechnicalParameters()
    sector: SectorParameters = SectorParameters()
    vix: VixParameters = VixParameters()
    calendar: CalendarParameters = CalendarParameters()
    alpha158: Alpha158Parameters = Alpha158Parameters()
