"""Run two general dataset auditors on one file, in their own environment; print what each flags as one JSON line.

cleanlab's Datalab looks at labels, outliers, near duplicates and non-iid order; deepchecks' tabular data integrity and
train-test validation suites look at duplicates, feature-label correlation and index or date leakage. A flagged column is
named; what concerns rows or the whole dataset is given the auditor's own name for it.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings

import pandas as pd

KEYS = ("symbol", "date")


def columns_of(frame: pd.DataFrame) -> list[str]:
    return [c for c in frame.columns if c not in KEYS and not c.startswith("target") and c != "direction"]


def cleanlab(frame: pd.DataFrame) -> list[str]:
    from cleanlab import Datalab

    known = frame.dropna(subset=["direction"])
    features = known[columns_of(known)].select_dtypes("number")
    features = ((features - features.mean()) / features.std()).fillna(0.0).clip(-10, 10)
    lab = Datalab(data={"direction": known["direction"].astype(int).tolist()}, label_name="direction", verbosity=0)
    lab.find_issues(features=features.to_numpy())
    summary = lab.get_issue_summary()
    return [f"cleanlab:{row.issue_type}" for row in summary.itertuples() if row.num_issues > 0.01 * len(known)]


def deepchecks(frame: pd.DataFrame) -> list[str]:
    import numpy as np

    if "Inf" not in vars(np):
        setattr(np, "Inf", np.inf)  # noqa: B010 (deepchecks 0.19.1 was written before NumPy 2)

    from deepchecks.tabular import Dataset
    from deepchecks.tabular.checks import (
        DataDuplicates,
        FeatureLabelCorrelation,
        FeatureLabelCorrelationChange,
    )

    known = frame.dropna(subset=["direction"]).copy()
    features = [c for c in columns_of(known) if c not in ("fold", "split")]
    known["direction"] = known["direction"].astype(int)
    data = Dataset(known[[*features, "direction"]], label="direction", features=features, cat_features=[])
    flagged = []
    scores = FeatureLabelCorrelation().run(data).value
    flagged += [c for c, score in scores.items() if score > 0.05]
    duplicates = DataDuplicates().run(data).value
    if float(duplicates["percent_of_duplicates"] if isinstance(duplicates, dict) else duplicates) > 0:
        flagged.append("deepchecks:duplicates")
    half = sorted(known["date"].unique())[known["date"].nunique() // 2]
    parts = [
        Dataset(p[[*features, "direction"]], label="direction", features=features, cat_features=[])
        for p in (known[known["date"] < half], known[known["date"] >= half])
    ]
    change = FeatureLabelCorrelationChange().run(*parts).value.get("train-test difference", {})
    flagged += [c for c, score in change.items() if abs(score) > 0.2]
    return sorted(set(flagged))


def main() -> None:
    warnings.simplefilter("ignore")
    frame = pd.read_parquet(sys.argv[1])
    found = {}
    for auditor in (cleanlab, deepchecks):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                found[auditor.__name__] = auditor(frame)
            except Exception as reason:  # noqa: BLE001 (a peer that fails finds nothing, and says so)
                print(reason, file=sys.__stderr__)
                found[auditor.__name__] = []
    print(json.dumps(found))


if __name__ == "__main__":
    main()
