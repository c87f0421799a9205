"""What followed each decision; the only room where a negative shift is legal."""

from conviction.labels._intraday import intraday_target_name, make_intraday_labels
from conviction.labels._labels import LABEL_COLUMNS, make_labels, strictly_above, target_name
from conviction.labels._processed import (
    ProcessedFrame,
    RepairedFrame,
    TargetRepair,
    from_processed,
    repair_direction,
    to_processed,
)

__all__ = [
    "LABEL_COLUMNS",
    "ProcessedFrame",
    "RepairedFrame",
    "TargetRepair",
    "from_processed",
    "intraday_target_name",
    "make_intraday_labels",
    "make_labels",
    "repair_direction",
    "strictly_above",
    "target_name",
    "to_processed",
]
