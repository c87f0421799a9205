"""Never more threads than cores, whatever is asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import joblib
import pytest

from conviction.folds import FoldParameters, make_fold_plan
from conviction.models import MODELS
from conviction.oof import jobs_within_cores, out_of_fold
from conviction.testing import planted_panel


@pytest.mark.parametrize(
    ("cores", "n_jobs", "n_threads", "expected"),
    [(4, 2, 1, 2), (4, -1, 1, 4), (4, 8, 1, 4), (4, 8, 2, 2), (4, 2, 8, 1), (1, 4, 1, 1)],
)
def test_jobs_times_threads_fit_the_cores(monkeypatch, cores, n_jobs, n_threads, expected):
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    assert jobs_within_cores(n_jobs, n_threads) == expected


def test_other_engines_know_their_own_cores(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    with joblib.parallel_config(backend="loky"):
        assert jobs_within_cores(7, 3) == 7


def test_no_more_fits_run_at_once_than_there_are_cores(monkeypatch):
    """Count the fits that are inside the model at the same moment."""
    panel = planted_panel(n_symbols=4, n_sessions=300, n_features=5, planted_auc=0.6, seed=0)
    plan = make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=0, holdout_sessions=0, n_folds=6, min_train_sessions=100)
    )
    spec, lock, state = MODELS["logistic"], threading.Lock(), SimpleNamespace(inside=0, most=0)

    def counted(*args, **kwargs):
        with lock:
            state.inside += 1
            state.most = max(state.most, state.inside)
        try:
            threading.Event().wait(0.05)
            return spec.fit(*args, **kwargs)
        finally:
            with lock:
                state.inside -= 1

    monkeypatch.setitem(MODELS, "logistic", replace(spec, fit=counted))
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    out_of_fold(panel, plan, target="relative", model="logistic", seed=0, n_jobs=6)
    assert state.most == 2


def test_lightgbm_is_told_its_threads_in_every_call(monkeypatch):
    """It keeps one number of threads for the process: a call that leaves it out changes it under the other folds' feet."""
    from lightgbm import basic

    panel = planted_panel(n_symbols=4, n_sessions=300, n_features=5, planted_auc=0.6, seed=0)
    plan = make_fold_plan(
        panel.labels, folds=FoldParameters(purge=1, embargo=0, holdout_sessions=0, n_folds=1, min_train_sessions=100)
    )
    told, real = [], basic._param_dict_to_str

    def listening(data):
        told.append(dict(data or {}))
        return real(data)

    monkeypatch.setattr(basic, "_param_dict_to_str", listening)
    out_of_fold(panel, plan, target="relative", model="lightgbm", seed=0)
    assert len(told) >= 4
    assert [call for call in told if call.get("num_threads") != 1] == []
