"""The process in which CatBoost trains, so that whatever it does can be ended: ``python -m ... FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def train(folder: Path) -> None:
    """Read ``call.json`` and the arrays of `folder`, train, and write ``model.json`` and ``facts.json`` there."""
    from catboost import CatBoostClassifier, Pool

    call = json.loads((folder / "call.json").read_text(encoding="utf-8"))

    def pool(name: str) -> Any:
        weight = folder / f"{name}_weight.npy"
        return Pool(
            np.load(folder / f"{name}_matrix.npy"),
            np.load(folder / f"{name}_y.npy"),
            weight=np.load(weight) if weight.exists() else None,
            feature_names=call["features"],
        )

    model = CatBoostClassifier(**call["arguments"], allow_writing_files=False, verbose=False)
    watched = pool("inner") if call["stopping"] else None
    model.fit(pool("train"), eval_set=watched, early_stopping_rounds=call["stopping"])
    model.save_model(str(folder / "model.json"), format="json")
    scores = model.get_evals_result().get("validation", {})
    facts = {
        "best_iteration": int(model.tree_count_),
        "importance": model.get_feature_importance().tolist(),
        "curve": scores.get(call["arguments"]["eval_metric"], []),
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    train(Path(sys.argv[1]))
