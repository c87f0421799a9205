"""What a training job is given: rows, labels and the stages of every fold, by content hash; and the same as CSV."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.frames import KEY, SESSION, SYMBOL
from conviction.oof import LabelledRows
from conviction.tuning import stage_rows

if TYPE_CHECKING:
    from conviction.folds import FoldPlan
    from conviction.oof import Audited

FORMAT = 1
# Two ways to cut a stage, and a model that is cut that way: one that stops early, and one that does not.
_KINDS = {"watched": "xgboost", "fitted": "random_forest"}


@dataclass(frozen=True)
class Bundle:
    """Files of the training channel.

    Attributes
    ----------
    files : dict of str to bytes
        `manifest.json` and, for each target, `matrix`, `y`, `day`, `symbol` (`.npy`) and `stages.npz`.
    sha : str
        SHA-256 over names and contents.
    """

    files: dict[str, bytes]
    sha: str

    @property
    def prefix(self) -> str:
        """Return where it lies below the prefix: the same data are uploaded once."""
        return f"data/{self.sha[:16]}"


def training_bundle(
    audited: Audited, plan: FoldPlan, *, targets: Sequence[str], folds: Sequence[int], inner_folds: int
) -> Bundle:
    """Cut the stages of every fold here, where labels are purged, and keep only rows that some trial may see.

    The hold-out is in no stage, so none of its rows leaves the workspace.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan
    targets : sequence of str
    folds : sequence of int
    inner_folds : int
        As in `TuningParameters`.

    Returns
    -------
    Bundle
    """
    files: dict[str, bytes] = {}
    counts: dict[str, int] = {}
    for target in targets:
        rows = LabelledRows(audited, target=target)
        stages = {
            f"{kind}/{fold}/{number}/{part}": places
            for kind, model in _KINDS.items()
            for fold in folds
            for number, stage in enumerate(stage_rows(rows, plan, fold, model=model, inner_folds=inner_folds))
            for part, places in stage.items()
        }
        used = np.unique(np.concatenate(list(stages.values())))
        counts[target] = len(used)
        days = rows.keys[SESSION].to_physical().to_numpy()[used].astype(np.int32)
        codes = rows.keys[SYMBOL].rank("dense").to_numpy()[used].astype(np.int32)
        arrays = {"matrix": rows.matrix[used], "y": rows.y[used], "day": days, "symbol": codes}
        files |= {f"{target}.{name}.npy": _npy(array) for name, array in arrays.items()}
        moved = {name: np.searchsorted(used, places).astype(np.int32) for name, places in stages.items()}
        files[f"{target}.stages.npz"] = _npz(moved)
    manifest = {
        "format": FORMAT,
        "features": list(audited.features),
        "targets": list(targets),
        "folds": list(folds),
        "inner_folds": inner_folds,
        "rows": counts,
        "plan": plan.hash,
    }
    files["manifest.json"] = json.dumps(manifest, sort_keys=True, indent=1).encode()
    return Bundle(files, _sha(files))


def csv_bundle(audited: Audited, plan: FoldPlan, *, target: str, fold: int, pin: str = "none") -> Bundle:
    """Return `train.csv`, `validation.csv`, `test.csv` (target first, no header) of one fold, with what describes them.

    Parameters
    ----------
    audited : AuditedPanel
    plan : FoldPlan
    target : str
    fold : int
        Train, inner and test sessions become the three files, in order of time; purged and embargoed ones are in none.
    pin : str
        The dataset pin, for the record.

    Returns
    -------
    Bundle
        Also `feature_metadata.json` (columns in order, sessions, rows, hashes) and `scaler.json` (mean and standard
        deviation of each feature over the training part alone; missing values left out).
    """
    rows = LabelledRows(audited, target=target)
    parts = {"train": "train", "validation": "inner", "test": "test"}
    files: dict[str, bytes] = {}
    sessions: dict[str, Any] = {}
    for name, role in parts.items():
        chosen = plan.sessions(fold, role)  # type: ignore[arg-type]
        places = rows.place(chosen)
        table = pl.DataFrame(rows.matrix[places], schema=list(rows.features), orient="row").fill_nan(None)
        table.insert_column(0, pl.Series(target, rows.y[places].astype(np.int8)))
        files[f"{name}.csv"] = table.write_csv(include_header=False).encode()
        sessions[name] = {"rows": len(places), "first": str(chosen.min()), "last": str(chosen.max())}
        files[f"{name}_keys.csv"] = rows.keys[places].select(KEY).write_csv().encode()
    fitted = rows.matrix[rows.place(plan.sessions(fold, "train"))].astype(np.float64)
    mean, spread = np.nanmean(fitted, axis=0), np.nanstd(fitted, axis=0)
    scaler = {
        "fitted_on": "train",
        "features": list(rows.features),
        "mean": _plain(mean),
        "standard_deviation": _plain(spread),
    }
    files["scaler.json"] = json.dumps(scaler, indent=1, sort_keys=True).encode()
    metadata = {
        "target": target,
        "columns": [target, *rows.features],
        "fold": fold,
        "plan": plan.hash,
        "dataset_pin": pin,
        "parts": sessions,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    files["feature_metadata.json"] = json.dumps(metadata, indent=1, sort_keys=True).encode()
    return Bundle(files, _sha(files))


def _plain(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _sha(files: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{name}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _npz(arrays: dict[str, Any]) -> bytes:
    # NumPy writes every member with the epoch of ZIP, so the same arrays give the same bytes.
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
