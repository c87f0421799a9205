"""Boosting on the workers of a Dask cluster, through the libraries' own distributed training.

Each worker holds some rows of the training block; the histograms are summed over the workers. The client needs the labels
and, for LightGBM, the inner block, never the training features.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from conviction.errors import MissingExtraError, ModelError
from conviction.models._block import Block, balanced

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ATTEMPTS = 3
_LOOK_EVERY_SECONDS = 0.5
_RESTART_SECONDS = 30


def is_distributed(block: Block) -> bool:
    """Return whether the rows of a block lie on a cluster (a `dask.array`) and not in this process."""
    return not isinstance(block.matrix, np.ndarray)


def active_client(model: str) -> Any:
    """Return the Dask client that is active here.

    Raises
    ------
    MissingExtraError
        If `distributed` is not installed.
    ModelError
        If there is no active client.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError.for_extra(
            feature=f"training={'dask'!r} of {model}", package="distributed", extra="dask"
        ) from error
    library: Any = distributed  # it has no types
    try:
        return library.default_client()
    except ValueError as error:
        raise ModelError(
            what=f"{model} is to be trained on a Dask cluster, and none is connected",
            got="no active distributed.Client",
            allowed="a client of a running cluster",
            fix="fit inside `with distributed.Client(address):`, or set training to 'local'",
        ) from error


def on_workers(model: str, train: Callable[[Any, list[str]], Any]) -> Any:
    """Call ``train(client, workers)`` with a client of its own; begin again when one of the workers is lost.

    A distributed fit cannot go on without one of its workers, and what waits for the lost one would wait for ever. So
    the workers are watched from outside: once one is gone the attempt is given up, the others, which wait for it, are
    started anew by their nannies, and the fit is repeated.

    Raises
    ------
    ModelError
        If workers are lost in every attempt, or there are none.
    """
    address = active_client(model).scheduler.address
    lost: list[str] = []
    for _ in range(_ATTEMPTS):
        done, gone = _attempt(address, train)
        if not gone:
            return done
        lost += gone
    raise ModelError(
        what=f"{model}: workers of the cluster were lost while it was trained",
        got=f"{len(lost)} lost in {_ATTEMPTS} attempts: {lost[:4]}",
        allowed="workers that live for the length of a fit",
        fix="look at the memory of the workers (partitions that are too large kill them), then run again",
    )


def _attempt(address: str, train: Callable[[Any, list[str]], Any]) -> tuple[Any, list[str]]:
    import distributed

    library: Any = distributed
    result: list[Any] = []
    failure: list[BaseException] = []
    client = library.Client(address, set_as_default=False)
    try:
        client.wait_for_workers(1, timeout=60)
        workers = sorted(client.scheduler_info(n_workers=-1)["workers"])

        def run() -> None:
            try:
                result.append(train(client, workers))
            except BaseException as error:  # noqa: BLE001 (it is raised again, in the thread that waits)
                failure.append(error)

        thread = threading.Thread(target=run, daemon=True, name="conviction-dask-training")
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK_EVERY_SECONDS)
            gone = _gone(client, workers)
            if gone and not result:
                break
        if result:
            return result[0], []
        gone = _gone(client, workers)
        if not gone:
            raise failure[0]
        _restart(client, [worker for worker in workers if worker not in gone], wanted=len(workers))
        return None, gone
    finally:
        client.close(timeout=5)


def _restart(client: Any, workers: list[str], *, wanted: int) -> None:
    """Start the remaining workers anew: their threads wait for a message from the lost one, and nothing else ends that."""
    from distributed import TimeoutError as Late

    if workers:
        client.restart_workers(workers, timeout=_RESTART_SECONDS, raise_for_error=False)
    with suppress(Late):  # one that does not come back is done without
        client.wait_for_workers(wanted, timeout=_RESTART_SECONDS)


def _gone(client: Any, workers: list[str]) -> list[str]:
    present = set(client.scheduler_info(n_workers=-1)["workers"])
    return [worker for worker in workers if worker not in present]


def distributed_rows(client: Any, workers: list[str], block: Block, *, weight: NDArray[np.float64] | None) -> Any:
    """Return features, labels and weights as Dask arrays of the same row chunks, spread over the workers in order."""
    import dask.array

    da: Any = dask.array  # it has no types
    if not is_distributed(block):
        bounds = np.linspace(0, len(block), len(workers) + 1).astype(int)
        pieces = [
            client.scatter(np.ascontiguousarray(block.matrix[low:high]), workers=[worker], hash=False)
            for low, high, worker in zip(bounds[:-1], bounds[1:], workers, strict=True)
        ]
        matrix = _as_array(pieces, np.diff(bounds), len(block.features), np.float32)
    else:
        # Each part has its place, so that sampled rows and sums do not depend on how busy a worker was.
        far: Any = block.matrix
        whole = far.rechunk({1: -1})
        parts, rows = whole.to_delayed().ravel(), np.array(whole.chunks[0])
        places = (np.cumsum(rows) - rows / 2) * len(workers) // rows.sum()
        pieces = [
            client.compute(part, workers=[workers[int(place)]], allow_other_workers=True)
            for part, place in zip(parts, places, strict=True)
        ]
        matrix = _as_array(pieces, rows, len(block.features), np.float32)
    chunks = matrix.chunks[0]
    labels = da.from_array(block.labels, chunks=(chunks,))
    weights = None if weight is None else da.from_array(weight, chunks=(chunks,))
    return matrix, labels, weights


def _as_array(pieces: list[Any], rows: Any, columns: int, dtype: Any) -> Any:
    import dask.array
    from dask.delayed import delayed

    da: Any = dask.array
    return da.concatenate(
        [
            da.from_delayed(delayed(piece), shape=(int(n), columns), dtype=dtype)
            for piece, n in zip(pieces, rows, strict=True)
        ]
    )


def train_xgboost(
    native: dict[str, Any], train: Block, inner: Block | None, *, rounds: int, stopping: int | None, max_bin: int,
    balance: bool, names: list[str],
) -> Any:  # fmt: skip
    """Return the booster of `xgboost.dask.train`, early stopping on the inner block included, and the watched scores."""
    import dask
    from xgboost import dask as xgb_dask

    def run(client: Any, workers: list[str]) -> Any:
        # XGBoost looks its nested tasks up through the active client, which belongs to this thread here.
        with client.as_current(), dask.config.set(scheduler=client), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            X, y, w = distributed_rows(client, workers, train, weight=balanced(train, balance=balance))
            matrix = xgb_dask.DaskQuantileDMatrix(client, X, y, weight=w, feature_names=names, max_bin=max_bin)
            evals = []
            if inner is not None and stopping:
                X, y, w = distributed_rows(client, workers, inner, weight=inner.weight)
                watched = xgb_dask.DaskQuantileDMatrix(
                    client, X, y, weight=w, feature_names=names, max_bin=max_bin, ref=matrix
                )
                evals = [(watched, "inner")]
            done = xgb_dask.train(
                client, native, matrix, num_boost_round=rounds, evals=evals, early_stopping_rounds=stopping,
                verbose_eval=False,
            )  # fmt: skip
        return done["booster"], {name: dict(metrics) for name, metrics in done["history"].items()}

    return on_workers("xgboost", run)


def train_lightgbm(native: dict[str, Any], train: Block, *, rounds: int, balance: bool) -> Any:
    """Return the booster of LightGBM's Dask interface after all rounds; it knows no early stopping."""
    import dask
    from lightgbm import DaskLGBMClassifier

    def run(client: Any, workers: list[str]) -> Any:
        with client.as_current(), dask.config.set(scheduler=client), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            X, y, w = distributed_rows(client, workers, train, weight=balanced(train, balance=balance))
            estimator = DaskLGBMClassifier(client=client, n_estimators=rounds, **native)
            return estimator.fit(X, y, sample_weight=w).booster_

    return on_workers("lightgbm", run)


def best_round(booster: Any, inner: Block, *, metric: str, patience: int) -> tuple[int, tuple[float, ...]]:
    """Return the round that early stopping would have kept, and the inner block's score after every round up to its end.

    The first round after which `patience` rounds bring nothing better ends the search; the best one before it is kept.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    matrix = np.asarray(inner.matrix)
    raw = np.zeros(len(inner))
    best, kept, curve = -np.inf, 0, []
    for done in range(booster.current_iteration()):
        raw += booster.predict(matrix, start_iteration=done, num_iteration=1, raw_score=True, num_threads=1)
        if metric == "auc":
            value = roc_auc_score(inner.labels, raw, sample_weight=inner.weight)
        else:
            value = -log_loss(inner.labels, 1 / (1 + np.exp(-raw)), sample_weight=inner.weight)
        curve.append(abs(float(value)))
        if value > best:
            best, kept = value, done + 1
        elif done + 1 - kept >= patience:
            break
    return kept, tuple(curve)


def predict_parts(predict: Callable[[NDArray[np.float32]], NDArray[np.float64]], matrix: Any) -> NDArray[np.float64]:
    """Predict each row chunk of a Dask array where it lies; only the scores come back."""
    whole = matrix.rechunk({1: -1})
    return np.asarray(whole.map_blocks(predict, drop_axis=1, dtype=np.float64, meta=np.empty(0)).compute())
