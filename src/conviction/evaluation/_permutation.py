"""What remains when labels are permuted by whole sessions: the best symbol under luck, and placebo runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from conviction.errors import EvaluationError
from conviction.evaluation._rows import rows_of
from conviction.evaluation.parameters import EvaluationParameters
from conviction.frames import check_columns, moment_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


def permute_blocks(n_sessions: int, *, block: int, rng: np.random.Generator) -> Ints:
    """Return a permutation of sessions that keeps blocks of neighbours together, starting anywhere on the circle.

    Examples
    --------
    >>> permute_blocks(6, block=2, rng=np.random.default_rng(1)).tolist()
    [4, 5, 0, 1, 2, 3]
    """
    rolled = np.roll(np.arange(n_sessions), int(rng.integers(n_sessions)))
    blocks = np.array_split(rolled, range(block, n_sessions, block))
    return np.concatenate([blocks[position] for position in rng.permutation(len(blocks))])


def permute_by_session(frame: pl.DataFrame, *, columns: Sequence[str], seed: int, block: int = 5) -> pl.DataFrame:
    """Give every session the values of another session, symbol by symbol: a placebo.

    All symbols of a session move together, and neighbouring sessions stay together in blocks, so that the dependence
    between symbols, and most of that between days, is the one of the real labels; only their tie to everything known before is
    cut. Bars move with their session: the n-th takes the values of the n-th bar of the session that was drawn.

    Parameters
    ----------
    frame : polars.DataFrame
        ``symbol``, ``session``, of intraday bars ``bar_end``, and `columns`.
    columns : sequence of str
        What is permuted together: the labels and the returns that followed.
    seed : int
    block : int
        Sessions that stay together.

    Returns
    -------
    polars.DataFrame
        The same rows and columns in the same order; null where the symbol has no row in the session (or its bar) that was drawn.

    Raises
    ------
    FrameError
        On missing columns.
    EvaluationError
        When there are fewer than two blocks of sessions, so that nothing would be permuted.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> oof = simulate_null_oof(n_symbols=3, n_sessions=40, seed=0)
    >>> placebo = permute_by_session(oof, columns=["label", "forward_return"], seed=1)
    >>> placebo["score"].equals(oof["score"]), placebo["label"].equals(oof["label"])
    (True, False)
    """
    check_columns(frame, ["symbol", "session", *columns], name="the frame to permute")
    sessions = frame["session"].unique().sort()
    if block < 1 or len(sessions) < 2 * block:
        raise EvaluationError(
            what="there are too few sessions to permute in blocks",
            got=f"{len(sessions)} sessions, blocks of {block}",
            allowed="at least two blocks of at least one session",
            fix="permute a longer span, or use shorter blocks",
        )
    drawn = sessions.gather(permute_blocks(len(sessions), block=block, rng=np.random.default_rng(seed)))
    placed = frame.with_columns(_bar=_place_in_session(frame))
    given = placed.select("symbol", "_bar", pl.col("session").alias("_from"), *columns)
    return (
        placed.drop(columns)
        .join(pl.DataFrame({"session": sessions, "_from": drawn}), on="session", how="left", maintain_order="left")
        .join(given, on=["symbol", "_from", "_bar"], how="left", maintain_order="left")
        .select(frame.columns)
    )


def _place_in_session(frame: pl.DataFrame) -> pl.Expr:
    """Return the number of a row's bar among the bars of its session, from 0; 0 for every row of daily bars."""
    return pl.col(moment_of(frame)).rank("dense").over("session").cast(pl.Int64) - 1


def placebo_band(placebos: pl.DataFrame, *, confidence: float = 0.99, minimum: int = 20) -> pl.DataFrame:
    """Say whether all placebo AUCs hold one half within a simultaneous band.

    The band is 0.5 +- z x se with z = Phi^-1((1 + confidence^(1/m)) / 2) for m placebos (Sidak 1967): with probability
    `confidence` all of them lie inside when none knows anything.

    Parameters
    ----------
    placebos : polars.DataFrame
        One row a placebo run: ``auc_pooled``, ``auc_pooled_se`` as `score` gives them; other columns are kept.
    confidence : float
        Simultaneous over all rows.
    minimum : int
        Fewest placebos that support a statement.

    Returns
    -------
    polars.DataFrame
        The rows with ``band_lo``, ``band_hi`` Float64 and ``inside`` Boolean; the placebo holds when all are inside.

    Raises
    ------
    FrameError
        On missing columns.
    EvaluationError
        On fewer than `minimum` placebos or a missing value.

    Examples
    --------
    >>> runs = pl.DataFrame({"auc_pooled": [0.50 + 0.001 * i for i in range(20)], "auc_pooled_se": [0.01] * 20})
    >>> placebo_band(runs)["inside"].all()
    True
    """
    check_columns(placebos, ["auc_pooled", "auc_pooled_se"], name="placebos")
    missing = placebos.select(pl.sum_horizontal(pl.col("auc_pooled", "auc_pooled_se").null_count())).item()
    if placebos.height < minimum or missing:
        raise EvaluationError(
            what="the placebos do not support a statement",
            got=f"{placebos.height} placebos, {missing} missing values",
            allowed=f"at least {minimum} placebos, each with an AUC and its standard error",
            fix="run more permutations of the labels",
        )
    from scipy.stats import norm

    z = float(norm.ppf((1 + confidence ** (1 / placebos.height)) / 2))
    half = z * pl.col("auc_pooled_se")
    return placebos.with_columns(band_lo=0.5 - half, band_hi=0.5 + half).with_columns(
        inside=pl.col("auc_pooled").is_between("band_lo", "band_hi")
    )


def best_symbol_test(
    oof_one: pl.DataFrame, *, evaluation: EvaluationParameters, seed: int, n_permutations: int = 1000
) -> pl.DataFrame:
    """Test every symbol's AUC against the best of all symbols under luck.

    Westfall and Young's 1993 step-down maximum: sessions' labels are permuted in blocks, all symbols together, which keeps
    the dependence between symbols that makes their AUCs rise and fall together. The statistic of a symbol is its AUC
    less one half over the Mann-Whitney null standard error, so that short histories do not dominate. One-sided: only
    AUCs above one half count.

    Parameters
    ----------
    oof_one : polars.DataFrame
        As `score` takes it.
    evaluation : EvaluationParameters
        `min_block` is the length of the permuted blocks; symbols with fewer than `min_sessions` rows are left out.
    seed : int
    n_permutations : int

    Returns
    -------
    polars.DataFrame
        Sorted by AUC descending: ``symbol``, ``n_sessions`` (rows of the symbol: bars, of intraday ones), ``auc``, ``z``, ``p`` (of the symbol alone, by permutation) and
        ``p_best`` (adjusted for having looked at all symbols; strong control of the family-wise error).

    Raises
    ------
    EvaluationError
        When no symbol has both classes in enough sessions.

    Examples
    --------
    >>> from conviction.evaluation import simulate_null_oof
    >>> oof = simulate_null_oof(n_symbols=10, n_sessions=150, seed=3)
    >>> table = best_symbol_test(oof, evaluation=EvaluationParameters(), seed=0, n_permutations=200)
    >>> (table["p_best"] >= table["p"]).all()
    True
    """
    rows = rows_of(oof_one)
    stats = rows.frame.group_by("symbol").agg(n=pl.len(), ones=pl.col("label").cast(pl.Int64).sum())
    usable = stats.filter(
        (pl.col("n") >= evaluation.min_sessions) & (pl.col("ones") > 0) & (pl.col("ones") < pl.col("n"))
    )["symbol"].sort()
    if usable.is_empty():
        raise EvaluationError(
            what="no symbol can be tested",
            got=f"{stats.height} symbols, none with both classes in {evaluation.min_sessions} sessions",
            allowed="at least one such symbol",
            fix="score a longer span, or lower evaluation.min_sessions",
        )
    kept = rows.frame["symbol"].is_in(usable.to_list()).to_numpy()
    symbol = rows.frame["symbol"].filter(pl.Series(kept)).rank("dense").to_numpy().astype(np.int64) - 1
    place = rows.frame.select(_place_in_session(rows.frame)).to_series().to_numpy()
    per_session = int(place.max()) + 1
    moment, score = (rows.session * per_session + place)[kept], rows.score[kept]
    labels = np.full((rows.n_sessions * per_session, len(usable)), -1, dtype=np.int8)
    labels[moment, symbol] = rows.label[kept]
    order = np.lexsort((score, symbol))
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (score[order][1:] != score[order][:-1]) | (symbol[order][1:] != symbol[order][:-1])
    offsets = np.searchsorted(symbol[order], np.arange(len(usable) + 1))
    rng = np.random.default_rng(seed)
    draws = [permute_blocks(rows.n_sessions, block=evaluation.min_block, rng=rng) for _ in range(n_permutations)]
    sessions = np.vstack([np.arange(rows.n_sessions), *draws]).astype(np.int64)
    moves = (sessions[:, :, None] * per_session + np.arange(per_session)).reshape(len(sessions), -1)
    aucs, z = _compiled_symbol_kernel()(moment[order], last, offsets.astype(np.int64), labels, moves)
    observed, luck = z[0], z[1:]
    table = pl.DataFrame(
        {
            "symbol": usable,
            "n_sessions": np.diff(offsets),
            "auc": aucs[0],
            "z": observed,
            "p": (1 + (luck >= observed).sum(axis=0)) / (1 + n_permutations),
            "p_best": step_down_p(observed, luck),
        }
    )
    return table.sort("auc", "symbol", descending=[True, False])


def step_down_p(observed: Floats, luck: Floats) -> Floats:
    """Return Westfall and Young's step-down adjusted p-values of one-sided statistics.

    Parameters
    ----------
    observed : numpy.ndarray of float64, shape (n_tests,)
    luck : numpy.ndarray of float64, shape (n_permutations, n_tests)
        The statistics of each permutation.

    Returns
    -------
    numpy.ndarray of float64, shape (n_tests,)
        (1 + exceedances) / (1 + permutations), monotone in the order of the statistics.
    """
    order = np.argsort(observed, kind="stable")
    best_of_rest = np.maximum.accumulate(luck[:, order], axis=1)
    exceeded = (1 + (best_of_rest >= observed[order]).sum(axis=0)) / (1 + len(luck))
    out = np.empty(len(observed))
    out[order] = np.maximum.accumulate(exceeded[::-1])[::-1]
    return out


def _symbol_kernel(moment: Any, last_of_tie: Any, offsets: Any, labels: Any, moves: Any) -> Any:
    """AUC and z of every symbol under every permutation of sessions; compiled by numba."""
    n_symbols = offsets.shape[0] - 1
    aucs = np.full((moves.shape[0], n_symbols), 0.5)
    z = np.zeros((moves.shape[0], n_symbols))
    for m in range(moves.shape[0]):
        for j in range(n_symbols):
            below = 0.0
            positive = 0.0
            tie_negative = 0.0
            tie_positive = 0.0
            wins = 0.0
            for i in range(offsets[j], offsets[j + 1]):
                label = labels[moves[m, moment[i]], j]
                if label == 1:
                    tie_positive += 1.0
                elif label == 0:
                    tie_negative += 1.0
                if last_of_tie[i]:
                    wins += tie_positive * (below + 0.5 * tie_negative)
                    below += tie_negative
                    positive += tie_positive
                    tie_negative = 0.0
                    tie_positive = 0.0
            if positive > 0 and below > 0:
                aucs[m, j] = wins / (positive * below)
                z[m, j] = (aucs[m, j] - 0.5) / np.sqrt((positive + below + 1) / (12 * positive * below))
    return aucs, z


@cache
def _compiled_symbol_kernel() -> Any:
    import numba

    return numba.njit(cache=True)(_symbol_kernel)
