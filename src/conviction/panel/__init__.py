"""Point-in-time panel: joins on the moment a value became known, the universe as it was then."""

from conviction.panel._asof import asof_join, known_moments
from conviction.panel._membership import in_universe, survivorship_note
from conviction.panel._panel import DECISION_TIMES, DecisionTime, build_panel, decision_moments

__all__ = [
    "DECISION_TIMES",
    "DecisionTime",
    "asof_join",
    "build_panel",
    "decision_moments",
    "in_universe",
    "known_moments",
    "survivorship_note",
]
