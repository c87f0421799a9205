"""Reading of the bundle for training jobs: three CSV parts without header, and the names in `feature_metadata.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from conviction.audit import audit_bundle
from conviction.errors import AuditError

if TYPE_CHECKING:
    from conviction.audit import AuditReport

PARTS = ("train", "validation", "test")
METADATA = "feature_metadata.json"
_NAMES = ("columns", "features", "feature_names", "feature_columns")
_TARGET = ("target", "target_column", "target_name", "label")


def is_bundle(path: Path) -> bool:
    """Whether a directory looks like a bundle for training jobs, whole or not."""
    return path.is_dir() and any((path / name).is_file() for name in (METADATA, *(f"{p}.csv" for p in PARTS)))


def audit_bundle_directory(path: Path, *, targets: dict[str, int] | None) -> AuditReport:
    """Read and audit a bundle.

    Parameters
    ----------
    path : pathlib.Path
        Directory with `train.csv`, `validation.csv`, `test.csv` (target first, no header), `feature_metadata.json`
        (``features`` or ``columns``, and ``target``), and where they exist `{part}_keys.csv` (symbol, session).
    targets : dict of str to int or None
        The target's horizon in sessions, by name; otherwise the metadata's ``horizon``, otherwise 1.

    Returns
    -------
    AuditReport

    Raises
    ------
    AuditError
        If a part or the metadata is missing, unreadable, or does not fit the others.
    """
    metadata = _metadata(path / METADATA)
    target, features = _names(metadata)
    parts = {part: _part(path / f"{part}.csv") for part in PARTS}
    keys = {part: path / f"{part}_keys.csv" for part in PARTS}
    horizon = (targets or {}).get(target, metadata.get("horizon", 1))
    if not isinstance(horizon, int) or horizon < 1:
        raise AuditError(what="the horizon of the bundle", got=horizon, allowed="sessions, 1 or more", fix="correct it")
    if targets and target not in targets:
        raise AuditError(
            what="the named target is not the bundle's",
            got=sorted(targets),
            allowed=target,
            fix="name the bundle's target",
        )
    given = {p: _keys(f) for p, f in keys.items()} if all(f.is_file() for f in keys.values()) else None
    return audit_bundle(parts, features=features, target=target, keys=given, horizon=horizon, name=path.name)


def _metadata(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise AuditError(
            what="the bundle names no columns",
            got=f"no {METADATA} in {file.parent}",
            allowed="a JSON object with features and target",
            fix="write it beside the parts",
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise AuditError(
            what=f"{METADATA} cannot be read", got=error, allowed="a JSON object", fix="write the file again"
        ) from error
    if not isinstance(found, dict):
        raise AuditError(
            what=f"{METADATA} is no object",
            got=type(found).__name__,
            allowed="features and target",
            fix="write it again",
        )
    return found


def _names(metadata: dict[str, Any]) -> tuple[str, list[str]]:
    key = next((k for k in _NAMES if isinstance(metadata.get(k), list) and metadata[k]), None)
    target = next((metadata[k] for k in _TARGET if isinstance(metadata.get(k), str)), None)
    if key is None or not all(isinstance(name, str) for name in metadata[key]):
        raise AuditError(
            what=f"{METADATA} has no list of names",
            got=sorted(metadata),
            allowed=f"one of {', '.join(_NAMES)}",
            fix="add the features in the order of the columns",
        )
    names = list(metadata[key])
    if target is None and key == "columns":
        target = names[0]
    target = target or "target"
    return target, names[1:] if names[0] == target else names


def _part(file: Path) -> pl.DataFrame:
    if not file.is_file():
        raise AuditError(
            what="a part of the bundle is missing",
            got=file.name,
            allowed=", ".join(f"{p}.csv" for p in PARTS),
            fix="write all three parts",
        )
    try:
        frame = pl.read_csv(file, has_header=False, infer_schema_length=None, null_values=["", "nan", "NaN"])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise AuditError(
            what=f"{file.name} cannot be read", got=error, allowed="rows of numbers", fix="write the part again"
        ) from error
    return frame


def _keys(file: Path) -> pl.DataFrame:
    try:
        frame = pl.read_csv(file, schema_overrides={"symbol": pl.String}, try_parse_dates=True)
        frame = frame.rename({"date": "session"}) if "date" in frame.columns else frame
        return frame.select("symbol", pl.col("session").cast(pl.Date))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise AuditError(
            what=f"{file.name} cannot be read", got=error, allowed="symbol and session", fix="write it again"
        ) from error
