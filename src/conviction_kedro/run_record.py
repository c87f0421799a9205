"""What a run keeps of itself so that it can be explained and replayed: what was asked, its parameters, its difference from the commit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from conviction_kedro.resuming import outputs_of
from conviction_kedro.secret_scan import findings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

FOLDER = "provenance"
RUN_FILE, DIFF_FILE, OUTPUTS_FILE = "run.json", "difference.patch", "outputs.json"
MOST_CHARACTERS = 5_000_000


def as_json(data: Mapping[str, Any]) -> bytes:
    """Return plain data as JSON with sorted keys."""
    return json.dumps(data, indent=1, sort_keys=True, default=str).encode()


def outputs_record(pipeline: Pipeline, catalog: DataCatalog) -> dict[str, dict[str, Any]]:
    """Return what a finished pipeline left: dataset -> hash of the content, of the frame, key, kind, file name, artifact folder."""
    record = {}
    for name, dataset in outputs_of(pipeline.nodes, catalog):
        sidecar = dataset.sidecar() or {}
        record[name] = {entry: sidecar.get(entry) for entry in ("content_sha", "frame_sha", "key", "kind")}
        record[name]["file"] = dataset.filepath.rsplit("/", 1)[-1]
        record[name]["artifact"] = ((dataset.metadata or {}).get("mlflow") or {}).get("artifact")
    return record


def keep_difference(patch: str) -> tuple[str, str]:
    r"""Return a patch that may be kept with a run, and a word on what was left out of it.

    Parameters
    ----------
    patch : str
        `conviction_kedro.provenance.tree_difference`.

    Returns
    -------
    tuple of str
        The patch, with every line that seems to hold a credential replaced, and "whole", or what is missing: a patch with a
        line redacted, or one that is too long to keep, cannot be applied.

    Examples
    --------
    >>> keep_difference("+x = 1\n")
    ('+x = 1\n', 'whole')
    """
    if len(patch) > MOST_CHARACTERS:
        return "", f"not kept: {len(patch)} characters, more than {MOST_CHARACTERS}"
    lines, redacted = [], 0
    for line in patch.splitlines(keepends=True):
        kinds = findings(line)
        redacted += bool(kinds)
        lines.append(f"{line[:1]}[redacted: {', '.join(kinds)}]\n" if kinds else line)
    return "".join(lines), f"redacted: {redacted} lines that seem to hold credentials" if redacted else "whole"
