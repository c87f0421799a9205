"""The caller's bars in the caller's frame library: variants of them, the call of the audited function, its answer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from conviction.audit._code_values import Grid, ValueCoder
from conviction.errors import AuditError
from conviction.frames import KEY, SESSION, SYMBOL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_TIMES: Final = ("date", "session")


def _is_pandas(frame: object) -> bool:
    return type(frame).__module__.split(".")[0] == "pandas"


def moments(series: pl.Series) -> pl.Series:
    """Return dates, datetimes or ISO text as naive ``Datetime[us]`` (UTC where a zone was given)."""
    dtype = series.dtype
    if dtype == pl.Object:
        return moments(pl.Series([None if item is None else str(item) for item in series.to_list()], dtype=pl.String))
    if dtype in (pl.Categorical, pl.Enum):
        return moments(series.cast(pl.String))
    if dtype == pl.String:
        return series.str.to_datetime(time_unit="us", strict=False).dt.replace_time_zone(None)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return series.cast(pl.Datetime("us"))


def _text(series: Any) -> pl.Series:
    return pl.Series([None if item is None else str(item) for item in series.tolist()], dtype=pl.String)


def _pandas_moments(series: Any) -> pl.Series:
    import pandas as pd

    stamps = pd.to_datetime(series, utc=getattr(series.dtype, "tz", None) is not None)
    if getattr(stamps.dtype, "tz", None) is not None:
        stamps = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
    values = stamps.to_numpy(dtype="datetime64[us]")
    return pl.Series(values.astype(np.int64)).cast(pl.Datetime("us")).set(pl.Series(np.isnat(values)), None)


@dataclass(frozen=True)
class Answer:
    """What a function returned, as floats keyed by symbol and session, and what was odd about it."""

    frame: pl.DataFrame
    features: list[str]
    problems: dict[str, str] = field(default_factory=dict)


class Bars:
    """The caller's long frame, and copies of it with other rows or other prices.

    Parameters
    ----------
    frame : pandas.DataFrame or polars.DataFrame
        ``symbol``, ``date`` (or ``session``) and numeric columns. It is never changed.

    Raises
    ------
    AuditError
        When it is no frame, lacks the key, has duplicated keys or fewer than ten sessions.
    """

    def __init__(self, frame: Any) -> None:
        if isinstance(frame, pl.LazyFrame):
            frame = frame.collect()
        self.pandas = _is_pandas(frame)
        if not self.pandas and not isinstance(frame, pl.DataFrame):
            raise _unusable(
                what="the bars are no frame", got=type(frame).__name__, allowed="a pandas or polars DataFrame"
            )
        time = next((name for name in _TIMES if name in frame.columns), None)
        if time is None or SYMBOL not in frame.columns:
            raise _unusable(
                what="the bars lack their key", got=list(frame.columns), allowed="columns 'symbol' and 'date'"
            )
        self.time: str = time
        keys = self._keys(frame)
        if keys.null_count().row(0) != (0, 0) or keys.is_duplicated().any():
            raise _unusable(
                what="the bars' keys are null or duplicated",
                got=f"{keys.height} rows",
                allowed="one row per symbol and date",
            )
        order = keys.with_row_index("__row").sort(KEY)["__row"].to_numpy()
        if not (np.diff(order) == 1).all():
            frame = frame.iloc[order].reset_index(drop=True) if self.pandas else frame[order]
        self.frame = frame
        self.grid = Grid.from_keys(keys.sort(KEY))
        if len(self.grid.sessions) < 10:
            raise _unusable(
                what="the bars are too short to cut", got=f"{len(self.grid.sessions)} sessions", allowed="at least 10"
            )
        self.numbers: dict[str, Array] = self._numbers()

    def _keys(self, frame: Any) -> pl.DataFrame:
        if self.pandas:
            return pl.DataFrame({SYMBOL: _text(frame[SYMBOL]), SESSION: _pandas_moments(frame[self.time])})
        return pl.DataFrame({SYMBOL: frame[SYMBOL].cast(pl.String), SESSION: moments(frame[self.time])})

    def _numbers(self) -> dict[str, Array]:
        numbers = {}
        for name in self.frame.columns:
            if name in (SYMBOL, self.time):
                continue
            column = self.frame[name]
            if self.pandas:
                if column.dtype.kind in "iuf":
                    numbers[str(name)] = column.to_numpy(dtype=np.float64, na_value=np.nan)
            elif column.dtype.is_numeric():
                numbers[name] = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return numbers

    def market_wide(self) -> set[str]:
        """Return numeric columns that have one value a session for all symbols (an index, the VIX)."""
        if len(self.grid.symbols) < 2:
            return set()
        frame = pl.DataFrame({SESSION: self.grid.session_code, **self.numbers})
        spread = frame.group_by(SESSION).agg(pl.exclude(SESSION).n_unique()).drop(SESSION).max()
        return {name for name in self.numbers if spread[name][0] == 1}

    def variant(self, values: Mapping[str, Array] | None = None, keep: NDArray[np.bool_] | None = None) -> Any:
        """Return a copy with other numbers and only the rows `keep`, in the caller's library and dtypes."""
        if self.pandas:
            return self._pandas_variant(values or {}, keep)
        frame = self.frame.clone()
        columns = []
        for name, numbers in (values or {}).items():
            dtype = self.frame.schema[name]
            series = pl.Series(name, np.round(numbers) if dtype.is_integer() else numbers)
            columns.append(series.fill_nan(None).cast(dtype).alias(name))
        frame = frame.with_columns(columns)
        return frame if keep is None else frame.filter(pl.Series(keep))

    def _pandas_variant(self, values: Mapping[str, Array], keep: NDArray[np.bool_] | None) -> Any:
        import pandas as pd

        frame = self.frame.copy(deep=True)
        for name, numbers in values.items():
            dtype = frame[name].dtype
            series = pd.Series(np.round(numbers) if dtype.kind in "iu" else numbers, index=frame.index)
            frame[name] = series.astype(dtype)
        if keep is None:
            return frame
        default = isinstance(frame.index, pd.RangeIndex)
        kept = frame.loc[keep]
        return kept.reset_index(drop=True) if default else kept.copy()

    def extended(self, sessions: int) -> Any:
        """Return a copy with the last `sessions` bars repeated after the end, on later dates."""
        codes = self.grid.session_code
        last = len(self.grid.sessions) - 1
        block = codes > last - sessions
        span = self.grid.sessions[last] - self.grid.sessions[max(0, last - sessions + 1)]
        days = 7 * (span.days // 7 + 1)  # whole weeks keep the weekdays
        if self.pandas:
            import pandas as pd

            tail = self.frame.loc[block].copy()
            moved = pd.to_datetime(tail[self.time]) + pd.Timedelta(days=days)
            tail[self.time] = _like(moved, self.frame[self.time])
            whole = pd.concat([self.frame, tail])
            whole = whole.sort_values([SYMBOL, self.time], kind="stable")
            return whole.reset_index(drop=True)
        tail = self.frame.filter(pl.Series(block))
        dtype = self.frame.schema[self.time]
        later = moments(tail[self.time]).dt.offset_by(f"{days}d")
        column = later.dt.strftime("%Y-%m-%d") if dtype == pl.String else later.cast(dtype)
        tail = tail.with_columns(column.alias(self.time))
        return pl.concat([self.frame, tail]).sort(SYMBOL, self.time)

    def reindexed(self, *, seed: int) -> Any:
        """Return a copy whose rows were shuffled and sorted again (in pandas the index keeps the shuffle)."""
        order = np.random.default_rng(seed).permutation(self.grid.rows)
        if self.pandas:
            shuffled = self.frame.iloc[order].reset_index(drop=True)
            return shuffled.sort_values([SYMBOL, self.time], kind="stable")
        return self.frame[order].sort(SYMBOL, self.time)

    def read(self, result: Any, given: Any, coder: ValueCoder) -> Answer:
        """Return the answer of a function as floats on the key.

        Raises
        ------
        AuditError
            When the result cannot be brought onto the rows of the bars.
        """
        if isinstance(result, pl.LazyFrame):
            result = result.collect()
        if _is_pandas(result):
            return self._read_pandas(result, given, coder)
        if isinstance(result, pl.Series):
            result = result.to_frame()
        if not isinstance(result, pl.DataFrame):
            raise _unusable(
                what="the function returned no frame", got=type(result).__name__, allowed="a pandas or polars DataFrame"
            )
        problems = {}
        if SYMBOL not in result.columns or self.time not in result.columns:
            if result.height != len(given):
                raise _unusable(
                    what="the result has neither key nor the rows of the bars",
                    got=result.columns,
                    allowed="symbol and date",
                )
            problems["no_key"] = "rows are matched by position"
            source = (
                given
                if isinstance(given, pl.DataFrame)
                else pl.DataFrame(self._keys(given)).rename({SESSION: self.time})
            )
            result = result.with_columns(source[SYMBOL], source[self.time])
        keys = pl.DataFrame({SYMBOL: result[SYMBOL].cast(pl.String), SESSION: moments(result[self.time])})
        features = [name for name in result.columns if name not in (SYMBOL, self.time)]
        values = {name: coder.encode(result[name]) for name in features}
        return _answer(keys, values, problems)

    def _read_pandas(self, result: Any, given: Any, coder: ValueCoder) -> Answer:
        import pandas as pd

        problems = {}
        if isinstance(result, pd.Series):
            result = result.to_frame(result.name or "feature")
        named = [name for name in (SYMBOL, self.time) if name in result.index.names and name not in result.columns]
        if named:
            result = result.reset_index(level=named)
        if SYMBOL not in result.columns or self.time not in result.columns:
            result, problems["no_key"] = self._adopt_keys(result, given), "rows are matched by the index of the bars"
        keys = pl.DataFrame({SYMBOL: _text(result[SYMBOL]), SESSION: _pandas_moments(result[self.time])})
        values: dict[str, NDArray[np.floating[Any]]] = {}
        for position, label in enumerate(result.columns):
            if label in (SYMBOL, self.time):
                continue
            name = str(label) if str(label) not in values else f"{label}#{position}"
            values[name] = _pandas_numbers(result.iloc[:, position], coder)
        return _answer(keys, values, problems)

    def _adopt_keys(self, result: Any, given: Any) -> Any:
        import pandas as pd

        source = (
            given
            if _is_pandas(given)
            else pd.DataFrame({SYMBOL: given[SYMBOL].to_list(), self.time: given[self.time].to_list()})
        )
        keys = source[[name for name in (SYMBOL, self.time) if name not in result.columns]]
        if keys.index.is_unique and result.index.isin(keys.index).all():
            return result.assign(**{name: keys[name].reindex(result.index) for name in keys.columns})
        if len(result) == len(keys):
            return result.assign(**{name: keys[name].to_numpy() for name in keys.columns})
        raise _unusable(
            what="the result has neither key nor the rows of the bars",
            got=list(result.columns),
            allowed="symbol and date",
        )


def _like(moved: Any, column: Any) -> Any:
    if column.dtype.kind == "M":
        return moved.astype(column.dtype)
    first = column.iloc[0]
    return moved.dt.strftime("%Y-%m-%d") if isinstance(first, str) else moved.dt.date


def _pandas_numbers(column: Any, coder: ValueCoder) -> NDArray[np.floating[Any]]:
    import pandas as pd

    dtype = column.dtype
    if getattr(dtype, "kind", "O") == "f" and isinstance(dtype, np.dtype):
        return np.asarray(column.to_numpy())
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if getattr(dtype, "kind", "O") in "mM":
        missing = column.isna().to_numpy()
        return np.where(missing, np.nan, column.astype("int64").to_numpy().astype(np.float64))
    missing = pd.isna(column).to_numpy()
    if not missing.all() and all(isinstance(item, (int, float, np.number)) for item in column[~missing]):
        return np.array([np.nan if lost else float(item) for item, lost in zip(column, missing, strict=True)])
    text = [None if lost else str(item) for item, lost in zip(column, missing, strict=True)]
    return coder.encode(pl.Series(text, dtype=pl.String))


def _answer(keys: pl.DataFrame, values: Mapping[str, Any], problems: dict[str, str]) -> Answer:
    renamed = {f"{name}#" if name in KEY else name: column for name, column in values.items()}
    frame = keys.with_columns([pl.Series(name, column) for name, column in renamed.items()])
    # pandas copies of NaN stay NaN: missing is one thing here
    lost = frame.select(pl.col(SESSION).is_null().sum()).item()
    if lost:
        problems["no_date"] = f"{lost} rows without a readable date"
        frame = frame.filter(pl.col(SESSION).is_not_null())
    twice = frame.select(KEY).is_duplicated().sum()
    if twice:
        problems["duplicated_rows"] = f"{twice} rows share a key"
        frame = frame.unique(KEY, keep="first", maintain_order=True)
    return Answer(frame, list(renamed), problems)


def _unusable(*, what: str, got: object, allowed: str) -> AuditError:
    return AuditError(
        what=what, got=got, allowed=allowed, fix="see what an audited function takes and returns in the docs"
    )


def untouched(given: Any, reference: Any) -> bool:
    """Return whether a frame is still equal to the copy that was taken before the call."""
    if _is_pandas(given):
        return bool(
            list(given.columns) == list(reference.columns)
            and given.index.equals(reference.index)
            and given.equals(reference)
        )
    return bool(given.columns == reference.columns and given.equals(reference, null_equal=True))


def call(function: Callable[[Any], Any], frame: Any) -> Any:
    """Call the audited function with its warnings silenced; what it raises passes through."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(frame)
