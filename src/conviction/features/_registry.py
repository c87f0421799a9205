"""The closed registry of families. A new family is one file and one line here."""

from __future__ import annotations

from conviction.errors import FeatureError
from conviction.features._feature import Definition, Family
from conviction.features.families import (
    alpha158,
    averages,
    calendar,
    cross_asset,
    cross_section,
    events,
    macro,
    market_relative,
    momentum,
    news,
    options,
    oscillators,
    ranges,
    returns,
    sector,
    technical,
    vix,
    volatility,
    volume,
)
from conviction.features.parameters import FeatureParameters

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY
    for module in (
        returns,
        momentum,
        volatility,
        averages,
        oscillators,
        ranges,
        volume,
        technical,
        market_relative,
        cross_asset,
        cross_section,
        sector,
        vix,
        macro,
        options,
        news,
        events,
        calendar,
        alpha158,
    )
}


def definitions(parameters: FeatureParameters) -> dict[str, Definition]:
    """Return every feature that these parameters declare, by name, in registry order.

    Raises
    ------
    FeatureError
        If two features would share a name.
    """
    found: dict[str, Definition] = {}
    for family in FAMILIES.values():
        for definition in family.define(getattr(parameters, family.name)):
            name = definition.feature.name
            if name in found:
                raise FeatureError(
                    what=f"two features are called {name!r}",
                    got=f"{found[name].feature.family} and {family.name}",
                    allowed="one feature a name",
                    fix=f"change the windows of features.{family.name} so that the names differ",
                )
            found[name] = definition
    return found
