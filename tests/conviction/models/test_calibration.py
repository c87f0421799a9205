"""Calibration learns a monotone map on rows the model has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from conviction.errors import ModelError, SeenRowError
from conviction.models import Block, FittedModel, calibrate, fit_model
from conviction.testing._model_conformance import make_sample

SAMPLE = make_sample(seed=5)


def fitted():
    params = {"n_estimators": 30, "early_stopping_rounds": None, "min_child_samples": 20}
    return fit_model("lightgbm", SAMPLE.train, SAMPLE.y_train, params=params, seed=0)


def held():
    return Block.from_frame(SAMPLE.inner, SAMPLE.y_inner)


def test_isotonic_is_scikit_learns_and_stays_off_the_edges():
    plain, rows = fitted(), held()
    done = calibrate(plain, rows, kind="isotonic")
    n = len(rows)
    peer = IsotonicRegression(y_min=1 / (n + 2), y_max=1 - 1 / (n + 2), out_of_bounds="clip")
    peer.fit(plain.predict(SAMPLE.inner), SAMPLE.y_inner)
    expected = peer.predict(plain.predict(SAMPLE.test))
    np.testing.assert_allclose(done.predict(SAMPLE.test), expected, atol=1e-12)
    # Where the held rows happen to be perfectly ordered, the steps would be 0 and 1 and a later log-loss infinite.
    scores = plain.predict(SAMPLE.inner)
    perfect = Block.from_frame(SAMPLE.inner, (scores > np.median(scores)).astype(int))
    found = calibrate(plain, perfect, kind="isotonic").predict(SAMPLE.test)
    assert found.min() == pytest.approx(1 / (n + 2))
    assert found.max() == pytest.approx(1 - 1 / (n + 2))


def test_sigmoid_minimises_the_log_loss():
    plain, rows = fitted(), held()
    done = calibrate(plain, rows, kind="sigmoid")
    scores = plain.predict(SAMPLE.inner)
    logit = np.log(scores / (1 - scores))

    def loss(ab):
        margin = ab[0] * logit + ab[1]
        return np.mean(np.logaddexp(0, margin) - SAMPLE.y_inner * margin)

    a, b = minimize(loss, [1.0, 0.0], tol=1e-12).x
    test = plain.predict(SAMPLE.test)
    expected = 1 / (1 + np.exp(-(a * np.log(test / (1 - test)) + b)))
    np.testing.assert_allclose(done.predict(SAMPLE.test), expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["isotonic", "sigmoid"])
def test_a_calibrated_model_keeps_the_order_and_goes_to_disk_and_back(kind, tmp_path):
    plain = fitted()
    done = calibrate(plain, held(), kind=kind)
    order = np.argsort(plain.predict(SAMPLE.test), kind="stable")
    assert (np.diff(done.predict(SAMPLE.test)[order]) >= 0).all()
    done.save(tmp_path)
    loaded = FittedModel.load(tmp_path)
    assert np.array_equal(loaded.predict(SAMPLE.test), done.predict(SAMPLE.test))
    assert loaded.facts["calibration"] == kind
    assert loaded.importance().equals(plain.importance())


def test_calibration_rows_are_unseen_before_and_seen_afterwards():
    with pytest.raises(SeenRowError):
        calibrate(fitted(), Block.from_frame(SAMPLE.train, SAMPLE.y_train), kind="sigmoid")
    done = calibrate(fitted(), held(), kind="sigmoid")
    with pytest.raises(SeenRowError):
        done.predict(SAMPLE.inner)
    with pytest.raises(ModelError, match="calibration block: only one class"):
        calibrate(fitted(), Block.from_frame(SAMPLE.inner, np.ones_like(SAMPLE.y_inner)), kind="isotonic")
