"""LightGBM and XGBoost trained on a cluster: the same folds and early stopping, and a lost worker costs time alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from conviction.errors import FrameError, ModelError
from conviction.folds import FoldParameters, make_fold_plan
from conviction.models import Block, fit_blocks
from conviction.oof import PartitionedPanel, out_of_fold
from conviction.testing import planted_panel
from conviction.tuning import TuningParameters, tune

pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# No sampled rows, and fewer distinct values than bins: where the distributed fit must equal the local one.
EXACT = {"n_estimators": 40, "early_stopping_rounds": 8, "subsample": 1.0, "colsample_bytree": 1.0}
CALL = {"target": "relative", "seed": 0}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    from distributed import Client, LocalCluster

    folder = tmp_path_factory.mktemp("dask")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(folder)) as cluster,
        Client(cluster),
    ):
        yield cluster


@pytest.fixture(scope="module")
def panel():
    made = planted_panel(n_symbols=10, n_sessions=420, n_features=6, planted_auc=0.65, seed=2)
    few = made.frame.with_columns((pl.col(name) * 4).round().clip(-10, 10) for name in made.features)
    return SimpleNamespace(frame=few, features=made.features, targets=made.targets)


@pytest.fixture(scope="module")
def plan(panel):
    return make_fold_plan(
        panel.frame.drop(panel.features),
        folds=FoldParameters(purge=1, embargo=3, holdout_sessions=0, n_folds=2, min_train_sessions=200),
    )


def read_part(path):
    return pl.read_parquet(path).to_numpy().astype(np.float32)


@pytest.fixture(scope="module")
def far(panel, tmp_path_factory):
    """The same panel as Parquet files of some sessions each, which only the workers read."""
    import dask
    import dask.array as da

    folder = tmp_path_factory.mktemp("parts")
    ordered = panel.frame.sort("session", "symbol")
    parts = []
    for number, low in enumerate(range(0, ordered.height, 900)):
        piece = ordered[low : low + 900].select(panel.features)
        piece.write_parquet(folder / f"{number}.parquet")
        read = dask.delayed(read_part)(str(folder / f"{number}.parquet"))
        parts.append(da.from_delayed(read, shape=(piece.height, piece.width), dtype=np.float32))
    return PartitionedPanel(
        panel.frame.drop(panel.features), panel.features, panel.targets, da.concatenate(parts), content_sha="parts"
    )


def test_xgboost_on_a_cluster_equals_the_local_fit_where_bins_are_exact(cluster, panel, plan, far):
    near = out_of_fold(panel, plan, model="xgboost", params=EXACT, **CALL)
    for other in (panel, far):
        found = out_of_fold(other, plan, model="xgboost", params={**EXACT, "training": "dask"}, **CALL)
        key = ["symbol", "session", "fold", "label"]
        assert found.predictions.select(key).equals(near.predictions.select(key))
        assert np.abs((found.predictions["score"] - near.predictions["score"]).to_numpy()).max() < 1e-6
        rounds = [[one.models[f].facts["best_iteration"] for f in plan.folds] for one in (near, found)]
        assert rounds[0] == rounds[1]
        assert max(rounds[0]) > 1
        assert [one.models[f].seen == near.models[f].seen for f in plan.folds for one in (found,)] == [True, True]


def test_lightgbm_on_a_cluster_is_as_good_as_the_local_fit_and_stops_where_it_would(cluster, panel, plan, far):
    near = out_of_fold(panel, plan, model="lightgbm", params=EXACT, **CALL).predictions
    found = out_of_fold(far, plan, model="lightgbm", params={**EXACT, "training": "dask"}, **CALL)
    again = out_of_fold(panel, plan, model="lightgbm", params={**EXACT, "training": "dask"}, **CALL).predictions
    auc = [roc_auc_score(one["label"], one["score"]) for one in (near, found.predictions, again)]
    assert min(auc) > 0.58
    assert max(auc) - min(auc) < 0.02
    assert np.corrcoef(near["score"], found.predictions["score"])[0, 1] > 0.9


def test_the_round_that_is_kept_is_the_one_of_early_stopping():
    """Independent: LightGBM's own early stopping on the same booster parameters."""
    import lightgbm as lgb

    from conviction.models._dask import best_round

    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 5)).astype(np.float32)
    y = (X[:, 0] + rng.standard_normal(1500) * 3 > 0).astype(float)
    inner = Block(tuple("abcde"), X[1000:], y=y[1000:])
    for metric, native in (("auc", "auc"), ("logloss", "binary_logloss")):
        params = {"objective": "binary", "metric": native, "verbosity": -1, "num_threads": 1, "learning_rate": 0.2}
        data = lgb.Dataset(X[:1000], y[:1000])
        stopped = lgb.train(params, data, 80, valid_sets=[data.create_valid(X[1000:], y[1000:])],
                            callbacks=[lgb.early_stopping(10, verbose=False)])  # fmt: skip
        whole = lgb.train(params, lgb.Dataset(X[:1000], y[:1000]), 80)
        assert best_round(whole, inner, metric=metric, patience=10)[0] == stopped.best_iteration < 60


def test_a_study_on_a_partitioned_panel_is_nested_and_repeatable(cluster, plan, far):
    # Which rows a worker samples depends on which parts it has: without sampling, a study repeats itself up to rounding.
    tuning = TuningParameters(
        n_trials=3, n_startup_trials=2, search={"xgboost": {"subsample": {"low": 1.0, "high": 1.0}}}
    )
    params = {**EXACT, "training": "dask"}
    one, two = (tune(far, plan, model="xgboost", params=params, tuning=tuning, folds=[1], **CALL) for _ in range(2))
    assert one.trials["params"].equals(two.trials["params"])
    assert one.trials["value"].to_list() == pytest.approx(two.trials["value"].to_list(), abs=1e-6)
    assert one.ledger["panel_sha"].unique().to_list() == ["parts"]


class Slow:
    """Kill a worker as soon as the first attempt of a fit has its rows in place; count the attempts."""

    def __init__(self, monkeypatch, cluster):
        from conviction.models import _dask

        self.attempts = 0
        original = _dask.distributed_rows

        def rows(client, workers, block, *, weight):
            made = original(client, workers, block, weight=weight)
            self.attempts += 1
            if self.attempts == 1:
                threading.Timer(0.2, os.kill, (next(iter(cluster.workers.values())).pid, signal.SIGKILL)).start()
            return made

        monkeypatch.setattr(_dask, "distributed_rows", rows)


@pytest.mark.parametrize(("model", "rounds"), [("xgboost", 60), ("lightgbm", 2000)])
def test_a_worker_killed_in_the_middle_loses_nothing(cluster, panel, model, rounds, monkeypatch):
    labelled = panel.frame.drop_nulls("relative").sort("session", "symbol")
    matrix, y = labelled.select(panel.features).to_numpy(), labelled["relative"].to_numpy().astype(float)
    seen, new = Block(panel.features, matrix[:3000], y=y[:3000]), Block(panel.features, matrix[3000:], y=y[3000:])
    params = {"n_estimators": rounds, "early_stopping_rounds": None, "subsample": 1.0, "training": "dask"}
    whole = fit_blocks(model, seen, None, params=params, seed=0).predict_block(new)
    slow = Slow(monkeypatch, cluster)
    found = fit_blocks(model, seen, None, params=params, seed=0).predict_block(new)
    assert slow.attempts == 2
    deadline = time.monotonic() + 60
    while len(cluster.scheduler_info["workers"]) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    auc = [roc_auc_score(new.labels, scores) for scores in (whole, found)]
    assert abs(auc[0] - auc[1]) < 0.02
    if model == "xgboost":
        # Whatever the number of workers, the sums are the same up to rounding.
        assert np.abs(found - whole).max() < 1e-3


def test_what_cannot_be_done_on_a_cluster_is_named(far, plan):
    with pytest.raises(ModelError, match="cannot be fitted on rows that lie on a cluster"):
        out_of_fold(far, plan, model="logistic", **CALL)
    with pytest.raises(FrameError, match="does not belong to the keys"):
        PartitionedPanel(far.frame, far.features[:-1], far.targets, far.matrix, "x")
