"""The data audit: datasets that arrive without their code."""

from conviction.audit.data._audit import audit_dataset, dataset_fingerprint
from conviction.audit.data._registry import DATA_CHECKS, DataCheck

__all__ = ["DATA_CHECKS", "DataCheck", "audit_dataset", "dataset_fingerprint"]
