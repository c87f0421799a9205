"""What followed each decision; the only room where a negative shift is legal."""

from conviction.labels._labels import LABEL_COLUMNS, make_labels, strictly_above, target_name

__all__ = ["LABEL_COLUMNS", "make_labels", "strictly_above", "target_name"]
