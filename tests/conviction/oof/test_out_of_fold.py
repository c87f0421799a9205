"""Out-of-fold predictions come from models that saw neither the row nor any label that reaches it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from conviction.errors import CertificateError, FoldError, ModelError, ParameterError, SeenRowError
from conviction.folds import HOLDOUT_FOLD, FoldParameters, FoldPlan, make_fold_plan
from conviction.frames import fingerprint
from conviction.observer import SilentObserver
from conviction.oof import OOF_KEY, OOF_SCHEMA, holdout_predictions, out_of_fold
from conviction.testing import planted_panel

FOLDS = FoldParameters(purge=1, embargo=5, holdout_sessions=60, n_folds=3, min_train_sessions=150)


@pytest.fixture(scope="module")
def panel():
    return planted_panel(n_symbols=8, n_sessions=420, n_features=8, planted_auc=0.6, seed=3, missing=0.03)


@pytest.fixture(scope="module")
def plan(panel):
    return make_fold_plan(panel.labels, folds=FOLDS)


def test_predictions_cover_the_test_sessions_and_nothing_else(panel, plan):
    found = out_of_fold(panel, plan, target="relative", model="lightgbm", seed=0).predictions
    assert dict(found.schema) == OOF_SCHEMA
    assert found.select(OOF_KEY).equals(found.select(OOF_KEY).sort(OOF_KEY).unique(maintain_order=True))
    wanted = panel.frame.filter(pl.col("relative").is_not_null()).join(
        plan.frame.filter(pl.col("role") == "test"), on="session"
    )
    both = found.join(wanted, on=["symbol", "session"], how="full", coalesce=True)
    assert both.height == wanted.height == found.height
    assert both["fold"].equals(both["fold_right"])
    assert both["label"].equals(both["relative"].alias("label"))
    assert both["forward_return"].equals(both["target_1d"].alias("forward_return"))
    assert found["score"].is_between(0, 1).all()
    assert not found["session"].is_in(plan.holdout.implode()).any()


def test_scores_are_those_of_a_plain_loop_with_scikit_learn(panel, plan):
    """The independent oracle: filter by role, scale, fit, predict, one fold at a time."""
    clean = SimpleNamespace(
        frame=panel.frame.with_columns(pl.col(panel.features).fill_null(0.0)),
        features=panel.features,
        targets=panel.targets,
    )
    ours = out_of_fold(
        clean, plan, target="direction", model="logistic", params={"C": 0.01, "clip": None}, seed=0
    ).predictions
    for fold in plan.folds:
        roles = clean.frame.drop_nulls("direction").join(plan.frame.filter(pl.col("fold") == fold), on="session")
        fit = roles.filter(pl.col("role").is_in(["train", "inner"]))
        test = roles.filter(pl.col("role") == "test").sort("symbol", "session")
        peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, tol=1e-8))
        peer.fit(fit.select(panel.features).to_numpy().astype(float), fit["direction"].to_numpy())
        expected = peer.predict_proba(test.select(panel.features).to_numpy().astype(float))[:, 1]
        got = ours.filter(pl.col("fold") == fold)["score"].to_numpy()
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("model", ["logistic", "lightgbm", "xgboost"])
def test_the_future_cannot_move_a_prediction(panel, plan, model):
    """Scramble everything after fold 1's test block, and the labels of that block: its scores stay, bit for bit."""
    last = plan.sessions(1, "test")[-1]
    first = plan.sessions(1, "test")[0]
    rng = np.random.default_rng(0)
    later = pl.col("session") > last
    inside = pl.col("session") >= first
    noise = {name: rng.normal(size=panel.frame.height).astype(np.float32) for name in panel.features}
    changed = panel.frame.with_columns(
        *[pl.when(later).then(pl.Series(name, values)).otherwise(name).alias(name) for name, values in noise.items()],
        pl.when(inside & pl.col("relative").is_not_null())
        .then(1 - pl.col("relative"))
        .otherwise("relative")
        .cast(pl.Int8)
        .alias("relative"),
    )
    twin = SimpleNamespace(frame=changed, features=panel.features, targets=panel.targets)
    one = out_of_fold(panel, plan, target="relative", model=model, seed=0).predictions.filter(pl.col("fold") <= 1)
    two = out_of_fold(twin, plan, target="relative", model=model, seed=0).predictions.filter(pl.col("fold") <= 1)
    assert one.drop("label").equals(two.drop("label"))
    assert not one["label"].equals(two["label"])


@pytest.mark.parametrize("model", ["logistic", "lightgbm", "xgboost"])
def test_jobs_and_repeats_do_not_change_a_byte(panel, plan, model):
    one = out_of_fold(panel, plan, target="relative", model=model, seed=5).predictions
    two = out_of_fold(panel, plan, target="relative", model=model, seed=5, n_jobs=2).predictions
    assert fingerprint(one) == fingerprint(two)


def test_parameters_may_differ_by_fold(panel, plan):
    params = {fold: {"C": 10.0 ** -(fold + 1)} for fold in plan.folds}
    found = out_of_fold(panel, plan, target="relative", model="logistic", params=params, seed=0)
    assert [m.parameters.C for m in found.models.values()] == [0.1, 0.01, 0.001]
    with pytest.raises(ParameterError, match="lack a fold: got folds \\[0\\]; allowed: fold 1"):
        out_of_fold(panel, plan, target="relative", model="logistic", params={0: {}}, seed=0)


def test_the_holdout_is_met_by_one_model_that_saw_all_before_it(panel, plan):
    found = holdout_predictions(panel, plan, target="relative", model="lightgbm", seed=0)
    assert found.predictions["session"].unique().sort().to_list() == plan.holdout.to_list()
    assert found.predictions["fold"].unique().to_list() == [HOLDOUT_FOLD]
    seen = found.models[HOLDOUT_FOLD].seen
    assert max(seen) == plan.sessions(HOLDOUT_FOLD, "inner")[-1] < plan.holdout[0]
    # 419 labelled, 60 held out, 1 purged and 5 embargoed before them, 1 purged before inner.
    assert len(seen) == 419 - 60 - 1 - 5 - 1
    no_holdout = make_fold_plan(panel.labels, folds=FOLDS.model_copy(update={"holdout_sessions": 0}))
    with pytest.raises(FoldError, match="keeps no hold-out"):
        holdout_predictions(panel, no_holdout, target="relative", model="lightgbm", seed=0)


def test_a_model_refuses_the_rows_it_was_fitted_on(panel, plan):
    found = out_of_fold(panel, plan, target="relative", model="logistic", seed=0)
    seen = panel.frame.filter(pl.col("session") == plan.sessions(0, "inner")[0])
    with pytest.raises(SeenRowError, match="8 rows of 1 seen sessions"):
        found.models[0].predict(seen.select("symbol", "session", *panel.features))


def test_a_plan_that_trains_on_labels_reaching_into_the_test_is_refused(panel, plan):
    """A plan made by hand without purging: its own table is consistent, only the spans give it away."""
    roles = pl.when(pl.col("role").is_in(["purged", "embargo"])).then(pl.lit("train")).otherwise("role")
    unpurged = FoldPlan.from_frame(plan.frame.with_columns(role=roles))
    with pytest.raises(FoldError, match="fold 0 would be fitted on labels that reach into"):
        out_of_fold(panel, unpurged, target="relative", model="base_rate", seed=0)


def test_a_plan_that_was_not_audited_is_refused(panel, plan):
    certified = SimpleNamespace(
        frame=panel.frame,
        features=panel.features,
        targets=panel.targets,
        certificate=SimpleNamespace(plan_sha="0" * 64),
    )
    with pytest.raises(CertificateError, match="not the one that was audited"):
        out_of_fold(certified, plan, target="relative", model="base_rate", seed=0)
    certified.certificate.plan_sha = plan.hash
    assert out_of_fold(certified, plan, target="relative", model="base_rate", seed=0).predictions.height > 0


def test_a_fold_with_one_class_is_named(panel, plan):
    first = plan.sessions(1, "train")[-1]
    only_ones = panel.frame.with_columns(
        relative=pl.when(pl.col("session") <= first).then(pl.lit(1, pl.Int8)).otherwise("relative")
    )
    twin = SimpleNamespace(frame=only_ones, features=panel.features, targets=panel.targets)
    with pytest.raises(ModelError, match=r"lightgbm: only one class to fit on: got counts \{1.0: ") as caught:
        out_of_fold(twin, plan, target="relative", model="lightgbm", seed=0)
    assert caught.value.__notes__ == ["while fitting fold 0 of lightgbm on relative"]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"target": "target_1d"}, ModelError, "unknown target.*did you mean|unknown target"),
        ({"model": "lightgmb"}, ModelError, "unknown model: got 'lightgmb'.*did you mean 'lightgbm'"),
        ({"params": {"num_leafs": 3}}, ParameterError, "num_leafs"),
        ({"params": {"num_leaves": 1}}, ParameterError, "num_leaves.*greater than or equal to 2"),
    ],
)
def test_unknown_names_are_named(panel, plan, change, error, match):
    with pytest.raises(error, match=match):
        out_of_fold(panel, plan, **{"target": "relative", "model": "lightgbm", "seed": 0, **change})


def test_a_combinatorial_plan_averages_the_folds_that_test_a_session(panel):
    paths = make_fold_plan(
        panel.labels,
        folds=FoldParameters(
            purge=1,
            embargo=2,
            holdout_sessions=60,
            splitter="combinatorial_purged",
            n_folds=4,
            n_test_folds=2,
            min_train_sessions=60,
        ),
    )
    found = out_of_fold(panel, paths, target="relative", model="logistic", seed=0)
    assert found.by_fold.height == 3 * found.predictions.height
    row = found.predictions.row(100, named=True)
    parts = found.by_fold.filter((pl.col("symbol") == row["symbol"]) & (pl.col("session") == row["session"]))
    assert row["score"] == pytest.approx(parts["score"].mean(), abs=1e-12)
    assert parts["fold"].n_unique() == 3


def test_the_observer_hears_of_every_fold(panel, plan):
    heard = []

    class Watcher(SilentObserver):
        def start(self, task, total):
            heard.append(("start", task, total))

        def finish(self, task):
            heard.append(("finish", task))

        def record(self, record):
            heard.append(("record", record["fold"]))

    watcher = Watcher()
    out_of_fold(panel, plan, target="relative", model="base_rate", seed=0, observer=watcher)
    assert heard[0] == ("start", "base_rate on relative", 3)
    assert [what for what in heard if what[0] == "record"] == [("record", fold) for fold in plan.folds]
    assert heard[-1] == ("finish", "base_rate on relative")
