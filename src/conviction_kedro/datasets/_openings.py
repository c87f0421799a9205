"""The record of hold-out openings: append-only, one line for each time somebody looked."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import polars as pl

from conviction_kedro.datasets._snapshot import Snapshot, SnapshotError

OPENING_SCHEMA: dict[str, Any] = {
    "holdout_sha": pl.String,
    "run_id": pl.String,
    "opened_at": pl.String,
    "reason": pl.String,
}


class OpeningsDataset(Snapshot[pl.DataFrame]):
    """Every opening of every hold-out.

    Loading gives an empty frame before the first opening. Saving appends the new openings to those on disk: an opening is
    never forgotten, whatever a run hands over. A run that opens the same hold-out twice (a resumed or replayed one) counts
    once.
    """

    kind: ClassVar[str] = "openings"
    append_only: ClassVar[bool] = True

    def encode(self, data: pl.DataFrame) -> bytes:
        """Return one JSON list."""
        return json.dumps(data.to_dicts(), indent=1).encode()

    def decode(self, content: bytes) -> pl.DataFrame:
        """Read the JSON list."""
        return pl.DataFrame(json.loads(content), schema=OPENING_SCHEMA)

    def load(self) -> pl.DataFrame:
        """Return the openings so far, oldest first."""
        return self.decode(self.content()) if self._exists() else pl.DataFrame(schema=OPENING_SCHEMA)

    def save(self, data: pl.DataFrame) -> None:
        """Append the openings that are not on record yet."""
        if not self._exists() and self._fs.exists(self._filepath):
            raise SnapshotError(
                what="the record of hold-out openings has no sidecar",
                got=self._filepath,
                allowed="a record that this workspace wrote",
                fix="restore the sidecar from a backup or from the runs of the experiment `holdout`",
            )
        known = self.load()
        super().save(
            pl.concat([known, data.select(list(OPENING_SCHEMA))]).unique(
                ["holdout_sha", "run_id"], keep="first", maintain_order=True
            )
        )
