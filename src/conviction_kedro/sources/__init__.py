"""Vendors and storage: what touches a network or a disk before a frame exists. See docs/how-to-polygon.md."""

from conviction_kedro.sources._secrets import Secret, resolve_credentials, resolve_secret
from conviction_kedro.sources._storage import Storage

__all__ = ["Secret", "Storage", "resolve_credentials", "resolve_secret"]
