"""The data audit: datasets that arrive without their code."""

from conviction.audit.data._audit import audit_dataset, dataset_fingerprint
from conviction.audit.data._registry import DATA_CHECKS, DataCheck
from conviction.audit.data.bundle import audit_bundle

__all__ = ["DATA_CHECKS", "DataCheck", "audit_bundle", "audit_dataset", "dataset_fingerprint"]
