"""Vendors and storage: what touches a network or a disk before a frame exists. See docs/how-to-polygon.md."""

from conviction_kedro.sources._errors import PinError, RetryableError, SourceError
from conviction_kedro.sources._flat_files import FlatFileSync
from conviction_kedro.sources._fred import FredRest, latest_readings, releases_frame
from conviction_kedro.sources._http import JsonClient
from conviction_kedro.sources._keys import FlatFileKey, Granularity, Market
from conviction_kedro.sources._manifest import FlatFileRecord, Manifest
from conviction_kedro.sources._massive import MassiveRest, RestTable
from conviction_kedro.sources._massive_frames import (
    dividends_frame,
    news_frame,
    splits_frame,
    ticker_details_frame,
    vendor_ticker,
    workspace_symbol,
)
from conviction_kedro.sources._paging import Counts, PagedDownload
from conviction_kedro.sources._read_flat_files import FLAT_FILE_ERRORS, read_flat_files
from conviction_kedro.sources._retry import RetryPolicy
from conviction_kedro.sources._secrets import Secret, resolve_credentials, resolve_secret
from conviction_kedro.sources._storage import Storage
from conviction_kedro.sources._sync_report import SyncReport
from conviction_kedro.sources._vendor_s3 import FlatFileSource, VendorObject
from conviction_kedro.sources._volatility import read_vix

__all__ = [
    "FLAT_FILE_ERRORS",
    "Counts",
    "FlatFileKey",
    "FlatFileRecord",
    "FlatFileSource",
    "FlatFileSync",
    "FredRest",
    "Granularity",
    "JsonClient",
    "Manifest",
    "Market",
    "MassiveRest",
    "PagedDownload",
    "PinError",
    "RestTable",
    "RetryPolicy",
    "RetryableError",
    "Secret",
    "SourceError",
    "Storage",
    "SyncReport",
    "VendorObject",
    "dividends_frame",
    "latest_readings",
    "news_frame",
    "read_flat_files",
    "read_vix",
    "releases_frame",
    "resolve_credentials",
    "resolve_secret",
    "splits_frame",
    "ticker_details_frame",
    "vendor_ticker",
    "workspace_symbol",
]
