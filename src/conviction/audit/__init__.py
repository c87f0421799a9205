"""The leakage audit: reports, the gate, and the audits of code, of the workspace's dataset and of foreign datasets."""

from conviction.audit._certificate import AuditedPanel, Certificate, certify, workspace_fingerprint
from conviction.audit._code import audit_features
from conviction.audit._report import AuditReport, CheckRun, DatasetFacts, Finding, LeadLagProfile
from conviction.audit._workspace import audit_workspace
from conviction.audit.data import audit_bundle, audit_dataset

__all__ = [
    "AuditReport",
    "AuditedPanel",
    "Certificate",
    "CheckRun",
    "DatasetFacts",
    "Finding",
    "LeadLagProfile",
    "audit_bundle",
    "audit_dataset",
    "audit_features",
    "audit_workspace",
    "certify",
    "workspace_fingerprint",
]
