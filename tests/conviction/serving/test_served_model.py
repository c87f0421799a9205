"""What is served says, session by session and to the last bit, what batch says of all sessions together."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from conviction.ensembling import COMBINERS, ensemble, learn_ensemble
from conviction.errors import EvaluationError, ModelError, SeenRowError
from conviction.oof import LabelledRows, final_plan, fit_on_everything
from conviction.serving import ServedModel, assemble_served

KEY = ["symbol", "session"]


@pytest.fixture(scope="session")
def batch(small):
    return ensemble(small.oof, target="relative", ensembling=small.ensembling, seed=1).oof


def last_fold(small, choice, ensembling=None):
    """The served model as it would have been promoted on the eve of the last fold."""
    last = small.oof["fold"].max()
    return assemble_served(
        small.audited,
        small.oof.filter(pl.col("fold") < last),
        {f"relative/{name}": small.models[f"relative/{name}/fold_{last:02d}"] for name in small.names},
        choices={"relative": choice},
        symbols=small.audited.frame["symbol"].unique().to_list(),
        ensembling=ensembling or small.ensembling,
        seed=1,
        calendar="XNYS",
        decision="close",
        max_age_sessions=None,
    )


@pytest.mark.parametrize("choice", sorted(COMBINERS))
def test_one_session_by_itself_after_a_round_trip_to_disk_has_the_bits_of_batch(small, batch, choice, tmp_path):
    last_fold(small, choice).save(tmp_path / "served")
    served = ServedModel.load(tmp_path / "served")
    wanted = batch.filter((pl.col("model") == choice) & (pl.col("fold") == small.oof["fold"].max()))
    assert wanted.height > 500
    features = small.audited.frame.select(*KEY, *small.audited.features)
    for (session,), part in wanted.group_by("session", maintain_order=True):
        rows = features.filter(pl.col("session") == session).join(part.select(KEY), on=KEY, how="semi")
        got = served.score(rows)
        assert got["relative_score"].to_list() == part.sort("symbol")["score"].to_list(), session


def test_calibrated_scores_have_the_bits_of_batch_too(small):
    ensembling = small.ensembling.model_copy(update={"calibrate": True, "challengers": ("mean",)})
    made = ensemble(small.oof, target="relative", ensembling=ensembling, seed=1)
    served = last_fold(small, made.choice, ensembling)
    last = small.oof["fold"].max()
    wanted = made.oof.filter((pl.col("model") == "ensemble") & (pl.col("fold") == last)).sort(KEY)
    rows = small.audited.frame.join(wanted.select(KEY), on=KEY, how="semi").select(*KEY, *small.audited.features)
    got = served.score(rows)
    assert got["relative_score"].to_list() == wanted["score"].to_list()
    assert got["relative_probability"].to_list() == wanted["score"].to_list()


def test_the_probability_is_calibrated_and_keeps_the_order(small, batch):
    served = last_fold(small, "mean")
    last = small.oof["fold"].max()
    labelled = batch.filter((pl.col("model") == "mean") & (pl.col("fold") == last)).sort(KEY)
    rows = small.audited.frame.join(labelled.select(KEY), on=KEY, how="semi").select(*KEY, *small.audited.features)
    got = served.score(rows).with_columns(label=labelled["label"].cast(pl.Float64))
    assert got.sort("relative_score")["relative_probability"].is_sorted()

    def log_loss(column):
        p = pl.col(column)
        return got.select(-(pl.col("label") * p.log() + (1 - pl.col("label")) * (1 - p).log()).mean()).item()

    assert log_loss("relative_probability") < math.log(2), "better than knowing nothing"


def test_the_final_fit_uses_every_labelled_session_and_keeps_inner_apart(small):
    rows = LabelledRows(small.audited, target="relative")
    plan = final_plan(rows, folds=small.folds)
    sessions = rows.keys["session"].unique().sort()
    roles = {role: plan.sessions(0, role) for role in ("train", "purged", "inner", "past", "test", "holdout")}
    assert pl.concat([roles["train"], roles["purged"], roles["inner"]]).to_list() == sessions.to_list()
    assert roles["inner"].to_list() == sessions.tail(math.floor(len(sessions) * 0.2)).to_list()
    assert len(roles["purged"]) >= 1
    assert len(roles["test"]) == len(roles["holdout"]) == len(roles["past"]) == 0

    rolling = final_plan(rows, folds=small.folds.model_copy(update={"mode": "rolling", "train_sessions": 150}))
    assert len(rolling.sessions(0, "past")) == len(sessions) - 150

    fitted = fit_on_everything(
        small.audited, targets=["relative"], models=small.names, params={}, folds=small.folds, seed=1
    )
    assert set(fitted) == {f"relative/{name}" for name in small.names}
    newest = small.audited.frame["session"].max()
    for model in fitted.values():
        assert max(model.seen) == sessions[-1], "the newest label is used"
        assert newest not in model.seen, "the newest session has no label and is what will be asked"
    seen = small.audited.frame.filter(pl.col("session") == sessions[-1]).select(*KEY, *small.audited.features)
    with pytest.raises(SeenRowError):
        fitted["relative/logistic"].predict(seen)


def test_an_answer_comes_in_the_order_of_the_request(small):
    served = last_fold(small, "rank_mean")
    session = small.oof["session"].max()
    rows = small.audited.frame.filter(pl.col("session") == session).select(*KEY, *small.audited.features)
    now = datetime(session.year, session.month, session.day, 23, tzinfo=UTC)
    straight = served.answer(rows, certificate_sha="c" * 64, now=now)
    turned = served.answer(rows.reverse(), certificate_sha="c" * 64, now=now)
    assert turned["symbol"].to_list() == rows["symbol"].reverse().to_list()
    assert_frame_equal(turned.sort("symbol"), straight, check_exact=True)


def test_what_cannot_score_a_session_by_itself_is_not_served(small):
    context = small.ensembling.model_copy(update={"context": True})
    with pytest.raises(EvaluationError, match="cannot score a session by itself"):
        learn_ensemble(small.oof, target="relative", choice="stack_logistic", ensembling=context, seed=1)
    one = small.oof.filter(pl.col("symbol") == "SYN000")
    with pytest.raises(EvaluationError, match="cannot score a session by itself"):
        learn_ensemble(one, target="relative", choice="rank_mean", ensembling=small.ensembling, seed=1)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match="holds no served model"):
        ServedModel.load(tmp_path)


def test_no_file_of_a_served_model_is_a_pickle(small, tmp_path):
    last_fold(small, "stack_xgboost").save(tmp_path)
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.rsplit(".", 1)[1] for path in names} == {"json", "txt", "ubj"}, names


def test_models_with_feature_parameters_of_their_own_are_not_served(small):
    params = {"relative/logistic": {"2": {"features.vix.momentum_window": 7}}}
    with pytest.raises(ModelError, match="has feature parameters of its own"):
        fit_on_everything(
            small.audited, targets=["relative"], models=["logistic"], params=params, folds=small.folds, seed=1
        )
