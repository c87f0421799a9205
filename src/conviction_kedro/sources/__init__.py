"""Vendors and storage: what touches a network or a disk before a frame exists. See docs/how-to/polygon.md."""

from conviction_kedro.sources._errors import PinError, RetryableError, SourceError
from conviction_kedro.sources._flat_files import FlatFileSync
from conviction_kedro.sources._fred import FredRest, releases_frame
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
from conviction_kedro.sources._measure import Measured, measure
from conviction_kedro.sources._paging import Counts, PagedDownload
from conviction_kedro.sources._pin import (
    PIN_VARIABLE,
    DatasetPin,
    ResolvedPin,
    check_pin,
    make_pin,
    pin_file_of,
    read_pin_file,
    resolve_pin,
    write_pin_file,
)
from conviction_kedro.sources._read_flat_files import FLAT_FILE_ERRORS, read_flat_files
from conviction_kedro.sources._retry import RetryPolicy
from conviction_kedro.sources._secrets import Secret, resolve_credentials, resolve_secret
from conviction_kedro.sources._storage import Storage
from conviction_kedro.sources._sync_report import SyncReport
from conviction_kedro.sources._vendor_s3 import FlatFileSource, VendorObject
from conviction_kedro.sources._volatility import read_vix

__all__ = [
    "FLAT_FILE_ERRORS",
    "PIN_VARIABLE",
    "Counts",
    "DatasetPin",
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
    "Measured",
    "PagedDownload",
    "PinError",
    "ResolvedPin",
    "RestTable",
    "RetryPolicy",
    "RetryableError",
    "Secret",
    "SourceError",
    "Storage",
    "SyncReport",
    "VendorObject",
    "check_pin",
    "dividends_frame",
    "make_pin",
    "measure",
    "news_frame",
    "pin_file_of",
    "read_flat_files",
    "read_pin_file",
    "read_vix",
    "releases_frame",
    "resolve_credentials",
    "resolve_pin",
    "resolve_secret",
    "splits_frame",
    "ticker_details_frame",
    "vendor_ticker",
    "workspace_symbol",
    "write_pin_file",
]
