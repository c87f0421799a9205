"""The kinds of snapshots: frames, plain data, text, figures, fold plans, audit reports, audited panels, models."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NewType

import polars as pl

from conviction.audit import AuditedPanel, AuditReport, Certificate
from conviction.errors import CertificateError
from conviction.folds import FoldPlan
from conviction.frames import fingerprint
from conviction_kedro.datasets._snapshot import Snapshot, relocated

# Kedro-Viz finds out how to show a dataset by the name of its preview's return type.
TablePreview = NewType("TablePreview", dict[str, Any])
PlotlyPreview = NewType("PlotlyPreview", dict[str, Any])
JSONPreview = NewType("JSONPreview", str)

_EPOCH = (1980, 1, 1, 0, 0, 0)


def _table_preview(frame: pl.DataFrame, nrows: int) -> TablePreview:
    head = frame.head(nrows)
    return TablePreview(
        {
            "index": list(range(head.height)),
            "columns": head.columns,
            "data": [
                [str(cell) if not isinstance(cell, (int, float, str, type(None))) else cell for cell in row]
                for row in head.rows()
            ],
        }
    )


def _to_parquet(frame: pl.DataFrame, metadata: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", metadata=metadata)
    return buffer.getvalue()


class FrameSnapshot(Snapshot[pl.DataFrame]):
    """A polars frame as one Parquet file; the same frame gives the same bytes."""

    kind = "frame"

    def encode(self, data: pl.DataFrame) -> bytes:
        """Return the Parquet bytes."""
        return _to_parquet(data)

    def decode(self, content: bytes) -> pl.DataFrame:
        """Read the Parquet bytes."""
        return pl.read_parquet(content)

    def facts(self, data: pl.DataFrame) -> dict[str, Any]:
        """Return shape, schema and the frame's own fingerprint."""
        return {
            "rows": data.height,
            "columns": data.width,
            "schema": {name: str(dtype) for name, dtype in data.schema.items()},
            "frame_sha": fingerprint(data),
        }

    def preview(self, nrows: int = 20) -> TablePreview:
        """Return the first rows for Kedro-Viz."""
        return _table_preview(self.load(), nrows)


class LedgerSnapshot(FrameSnapshot):
    """An append-only frame: saving adds the rows whose key is not there yet and changes none that is.

    Parameters
    ----------
    filepath, credentials, metadata
        As for every snapshot.
    unique : list of str
        The key of a row; the same trial scored twice stays one row.
    """

    kind = "ledger"
    append_only = True

    def __init__(
        self,
        filepath: str,
        unique: list[str],
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath, credentials, metadata)
        self._unique = list(unique)

    def save(self, data: pl.DataFrame) -> None:
        """Append the rows that are new."""
        known = self.load() if self._exists() else data.clear()
        super().save(pl.concat([known, data], how="diagonal").unique(self._unique, keep="first", maintain_order=True))


class JsonSnapshot(Snapshot[dict[str, Any]]):
    """Plain data as JSON with sorted keys."""

    kind = "json"

    def encode(self, data: dict[str, Any]) -> bytes:
        """Return the JSON bytes."""
        return json.dumps(data, indent=1, sort_keys=True, default=str).encode()

    def decode(self, content: bytes) -> dict[str, Any]:
        """Read the JSON bytes."""
        loaded: dict[str, Any] = json.loads(content)
        return loaded

    def preview(self) -> JSONPreview:
        """Return the whole text for Kedro-Viz."""
        return JSONPreview(self.content().decode())


class TextSnapshot(Snapshot[str]):
    """Text in UTF-8: the HTML page, the console summary."""

    kind = "text"

    def encode(self, data: str) -> bytes:
        """Return the UTF-8 bytes."""
        return data.encode()

    def decode(self, content: bytes) -> str:
        """Read the UTF-8 bytes."""
        return content.decode()


class FigureSnapshot(Snapshot[Any]):
    """A plotly figure as JSON, shown by Kedro-Viz."""

    kind = "figure"

    def encode(self, data: Any) -> bytes:
        """Return plotly's own JSON."""
        text: str = data.to_json()
        return text.encode()

    def decode(self, content: bytes) -> Any:
        """Rebuild the figure."""
        from plotly.io import from_json

        return from_json(content.decode())

    def preview(self) -> PlotlyPreview:
        """Return the figure's data for Kedro-Viz."""
        return PlotlyPreview(json.loads(self.content()))


class FoldPlanSnapshot(Snapshot[FoldPlan]):
    """A fold plan as its table keyed by fold and session."""

    kind = "fold_plan"

    def encode(self, data: FoldPlan) -> bytes:
        """Return the Parquet bytes of the plan's table."""
        return _to_parquet(data.frame)

    def decode(self, content: bytes) -> FoldPlan:
        """Rebuild and check the plan."""
        return FoldPlan.from_frame(pl.read_parquet(content))

    def facts(self, data: FoldPlan) -> dict[str, Any]:
        """Return the plan's hash and number of folds."""
        return {"plan_hash": data.hash, "folds": len(data.folds), "frame_sha": fingerprint(data.frame)}

    def preview(self, nrows: int = 20) -> TablePreview:
        """Return sessions per fold and role for Kedro-Viz."""
        counts = (
            self.load()
            .frame.group_by("fold", "role")
            .agg(
                pl.len().alias("sessions"),
                pl.col("session").min().alias("first"),
                pl.col("session").max().alias("last"),
            )
        )
        return _table_preview(counts.sort("fold", "first"), nrows)


class AuditReportSnapshot(Snapshot[AuditReport]):
    """An audit report as JSON."""

    kind = "audit_report"

    def encode(self, data: AuditReport) -> bytes:
        """Return the report's JSON."""
        return json.dumps(data.to_dict(), indent=1, sort_keys=True).encode()

    def decode(self, content: bytes) -> AuditReport:
        """Rebuild the typed report."""
        return AuditReport.from_dict(json.loads(content))

    def facts(self, data: AuditReport) -> dict[str, Any]:
        """Return the verdict."""
        return {"verdict": data.verdict}

    def preview(self) -> JSONPreview:
        """Return the whole report for Kedro-Viz."""
        return JSONPreview(self.content().decode())


class AuditedPanelSnapshot(Snapshot[AuditedPanel]):
    """The audited panel with its certificate inside the same file.

    Loading verifies the certificate against the panel itself and against the audit report, feature matrix, labels and fold plan
    that lie beside it now: `--pipeline=modeling` sees no other node, so the gate is in the data.

    Parameters
    ----------
    filepath, credentials, metadata
        As for every snapshot.
    vouched : dict
        Files that the certificate speaks of: `audit_report`, `feature_matrix`, `labels`, `fold_plan` -> path.
    """

    kind = "audited_panel"

    def __init__(
        self,
        filepath: str,
        vouched: dict[str, str],
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath, credentials, metadata)
        self._vouched = dict(vouched)

    def relocate(self, root: str) -> None:
        """Move with what the certificate vouches for."""
        super().relocate(root)
        self._vouched = {name: relocated(path, root) for name, path in self._vouched.items()}

    def encode(self, data: AuditedPanel) -> bytes:
        """Return Parquet bytes that carry the certificate in their metadata."""
        return _to_parquet(data.frame, {"certificate": json.dumps(data.certificate.to_dict(), sort_keys=True)})

    def decode(self, content: bytes) -> AuditedPanel:
        """Rebuild the panel; raises CertificateError when the certificate does not hold."""
        metadata = pl.read_parquet_metadata(io.BytesIO(content))
        if "certificate" not in metadata:
            raise CertificateError(
                what="the audited panel carries no certificate",
                got=self._filepath,
                allowed="a panel made by leakage_audit",
                fix="kedro run --pipeline=leakage_audit",
            )
        certificate = Certificate.from_dict(json.loads(metadata["certificate"]))
        plan = FoldPlanSnapshot(self._vouched["fold_plan"], self._credentials).load()
        panel = AuditedPanel.load(pl.read_parquet(content), certificate, plan_frame=plan.frame)
        self._check_neighbours(certificate)
        return panel

    def _check_neighbours(self, certificate: Certificate) -> None:
        report = AuditReportSnapshot(self._vouched["audit_report"], self._credentials).load()
        disagreements = []
        if report.verdict != "pass":
            disagreements.append("the newest audit report fails")
        for name, vouched in (("feature_matrix", certificate.matrix_sha), ("labels", certificate.labels_sha)):
            sidecar = FrameSnapshot(self._vouched[name], self._credentials).sidecar()
            found = None if sidecar is None else sidecar.get("frame_sha")
            if found != vouched:
                disagreements.append(f"{name} is {str(found)[:12]}, the certificate vouches for {vouched[:12]}")
        if disagreements:
            raise CertificateError(
                what="the certificate of the audited panel is void",
                got="; ".join(disagreements),
                allowed="a certificate of exactly this feature matrix, these labels, this fold plan and a passing report",
                fix="kedro run --pipeline=leakage_audit, and read its report",
            )

    def facts(self, data: AuditedPanel) -> dict[str, Any]:
        """Return shape, the panel's fingerprint and the certificate's own hash."""
        return {"rows": data.frame.height, "features": len(data.features), "frame_sha": fingerprint(data.frame)}

    def preview(self, nrows: int = 20) -> TablePreview:
        """Return the first rows for Kedro-Viz."""
        return _table_preview(self.load().frame, nrows)


class ModelsSnapshot(Snapshot[dict[str, Any]]):
    """Fitted models in their native formats: `target/model/fold -> FittedModel`, one uncompressed archive without clocks."""

    kind = "models"

    def encode(self, data: dict[str, Any]) -> bytes:
        """Return a ZIP archive whose bytes depend on the models alone."""
        buffer = io.BytesIO()
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for path, model in sorted(data.items()):
                home = Path(folder) / path
                home.mkdir(parents=True)
                model.save(home)
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    info = zipfile.ZipInfo(str(file.relative_to(folder)), date_time=_EPOCH)
                    archive.writestr(info, file.read_bytes())
        return buffer.getvalue()

    def decode(self, content: bytes) -> dict[str, Any]:
        """Rebuild every model from its folder."""
        from conviction.models import FittedModel

        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                archive.extractall(folder)
            homes = sorted(path.parent for path in Path(folder).rglob("model.json"))
            return {str(home.relative_to(folder)): FittedModel.load(home) for home in homes}

    def facts(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return what the archive holds."""
        return {"models": sorted(data), "sha_of_names": hashlib.sha256("\n".join(sorted(data)).encode()).hexdigest()}
