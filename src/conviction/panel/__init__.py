"""Point-in-time panel: joins on the moment a value became known, the universe as it was then."""

from conviction.panel._asof import asof_join, known_moments
from conviction.panel._intraday import build_intraday_panel
from conviction.panel._join import join_sources
from conviction.panel._membership import in_universe, survivorship_note
from conviction.panel._panel import DECISION_TIMES, DecisionTime, build_panel, decision_moments
from conviction.panel._renames import apply_renames
from conviction.panel._sources import add_events, add_macro, add_news, newest_period
from conviction.panel.parameters import SourceParameters

__all__ = [
    "DECISION_TIMES",
    "DecisionTime",
    "SourceParameters",
    "add_events",
    "add_macro",
    "add_news",
    "apply_renames",
    "asof_join",
    "build_intraday_panel",
    "build_panel",
    "decision_moments",
    "in_universe",
    "join_sources",
    "known_moments",
    "newest_period",
    "survivorship_note",
]
