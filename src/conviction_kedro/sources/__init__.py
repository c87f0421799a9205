"""Vendors and storage: what touches a network or a disk before a frame exists. See docs/how-to-polygon.md."""

from conviction_kedro.sources._errors import PinError, RetryableError, SourceError
from conviction_kedro.sources._flat_files import FlatFileSync
from conviction_kedro.sources._keys import FlatFileKey, Granularity, Market
from conviction_kedro.sources._manifest import FlatFileRecord, Manifest
from conviction_kedro.sources._retry import RetryPolicy
from conviction_kedro.sources._secrets import Secret, resolve_credentials, resolve_secret
from conviction_kedro.sources._storage import Storage
from conviction_kedro.sources._sync_report import SyncReport
from conviction_kedro.sources._vendor_s3 import FlatFileSource, VendorObject

__all__ = [
    "FlatFileKey",
    "FlatFileRecord",
    "FlatFileSource",
    "FlatFileSync",
    "Granularity",
    "Manifest",
    "Market",
    "PinError",
    "RetryPolicy",
    "RetryableError",
    "Secret",
    "SourceError",
    "Storage",
    "SyncReport",
    "VendorObject",
    "resolve_credentials",
    "resolve_secret",
]
