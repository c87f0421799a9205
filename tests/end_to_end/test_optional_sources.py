"""Tables beside the prices: joined as of the decision where they are there, named as missing where they are not."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from conviction.market import exchange_sessions

pytestmark = pytest.mark.slow

SIX = ["AAPL", "JPM", "KO", "MSFT", "PG", "XOM"]
SESSIONS = exchange_sessions("XNYS", date(2021, 1, 4), date(2022, 12, 28)).to_list()
# One second after the close of this session, when nothing of it can be decided upon any more.
CUT_DAY = date(2022, 3, 1)
CUT = datetime(2022, 3, 1, 21, 0, 1, tzinfo=UTC)
FAMILIES = {
    "options": ["iv_level", "iv_rank", "iv_term_slope", "iv_premium", "put_call_gap"],
    "news": ["news_sentiment", "news_sentiment_weighted", "news_volume"],
    "macro": ["macro_unrate_level", "macro_dgs10_change"],
    "events": ["days_to_event", "days_since_event"],
    "sectors": ["sector_resid_ret_1d"],
    "references": ["rel_qqq_1d", "qqq_ret_1d_lag1"],
    "vix": ["vix_level", "vix_momentum", "vix_regime"],
}
FEATURES = [name for names in FAMILIES.values() for name in names]
PARAMETERS = {
    "data": {"first_session": "2021-01-04"},
    "features": {"sets": [], "names": ["ret_1d", *FEATURES], "options": {"rank_window": 40}},
    "folds": {"n_folds": 2, "min_train_sessions": 150, "holdout_sessions": 40},
}


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def tables(shift: float = 0.0) -> dict[str, pl.DataFrame]:
    """Return every table; `shift` moves each value that was published after the cut, and nothing that was before."""
    rng = np.random.default_rng(3)
    daily = [(symbol, day) for symbol in SIX for day in SESSIONS]
    # Each evening's surface is out at 20:55 UTC, before the close in winter; the one of the cut is out just after it.
    surface = pl.DataFrame(
        {
            "symbol": [s for s, _ in daily],
            "known_at": [CUT if day == CUT_DAY else at(day, 19, 55) for _, day in daily],
            "iv_30d": rng.uniform(0.1, 0.4, len(daily)),
            "iv_60d": rng.uniform(0.1, 0.4, len(daily)),
            "put_call_ratio": rng.uniform(0.5, 1.5, len(daily)),
        }
    )
    some = [daily[n] for n in sorted(rng.choice(len(daily), 900, replace=False))] + [("AAPL", CUT_DAY)] * 3
    news = pl.DataFrame(
        {
            "symbol": [s for s, _ in some],
            "known_at": [CUT if day == CUT_DAY else at(day, 14, n % 60) for n, (_, day) in enumerate(some)],
            "score": rng.uniform(-0.4, 0.4, len(some)),
            "publisher": [("Wire", "Blog")[n % 2] for n in range(len(some))],
        }
    )
    months = [(date(2020, 11, 1) + timedelta(31 * n)).replace(day=1) for n in range(26)]
    macro = pl.DataFrame(
        {
            "series": [name for name in ("UNRATE", "DGS10") for _ in months],
            "reference_date": months * 2,
            "known_at": [CUT if m == date(2022, 2, 1) else at(m + timedelta(33), 13, 30) for m in months] * 2,
            "value": rng.uniform(3.0, 6.0, 2 * len(months)),
        }
    )
    quarters = SESSIONS[20::63]
    events = pl.DataFrame(
        {
            "symbol": [s for s in SIX for _ in quarters],
            "known_at": [CUT if q == quarters[5] else at(q - timedelta(30), 12) for _ in SIX for q in quarters],
            "event_date": quarters * len(SIX),
        }
    )
    sectors = pl.DataFrame(
        {
            "symbol": [*SIX, "XOM"],
            "known_at": [at(date(2020, 12, 1), 12)] * 6 + [CUT],
            "sector": ["tech", "money", "food", "tech", "food", "money", "food"],
        }
    )
    late = pl.col("known_at") >= CUT
    surface = surface.with_columns(pl.when(late).then(pl.col(c) + shift).otherwise(c) for c in surface.columns[2:])
    news = news.with_columns(pl.when(late).then(pl.col("score") + min(shift, 0.5)).otherwise("score"))
    macro = macro.with_columns(pl.when(late).then(pl.col("value") + shift).otherwise("value"))
    events = events.with_columns(
        pl.when(late).then(pl.col("event_date") + timedelta(int(shift))).otherwise("event_date")
    )
    if shift:
        sectors = sectors.with_columns(sector=pl.when(late).then(pl.lit("tech")).otherwise("sector"))
    # The closes of these are known at their close, or a quarter of an hour later: of the cut's session the VIX is late.
    walk = np.exp(np.cumsum(rng.normal(0.0, 0.01, len(SESSIONS))))
    moved = np.array([shift if day > CUT_DAY else 0.0 for day in SESSIONS])
    references = pl.DataFrame({"symbol": "QQQ", "date": SESSIONS, "close": 300.0 * walk + moved})
    moved[SESSIONS.index(CUT_DAY)] = shift
    vix = pl.DataFrame({"date": SESSIONS, "close": 20.0 * walk + moved})
    found = {"options": surface, "news": news, "macro": macro, "events": events, "sectors": sectors}
    return {**found, "references": references, "vix": vix}


def given(folder, frames: dict[str, pl.DataFrame]) -> dict[str, str]:
    """Write the tables as a user would, options and sectors as Parquet, and return the settings that name them."""
    settings = {}
    folder.mkdir(exist_ok=True)
    for name, frame in frames.items():
        path = folder / f"{name}.{'parquet' if name in ('options', 'sectors') else 'csv'}"
        if path.suffix == ".parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        settings[f"CONVICTION_{name.upper()}"] = str(path)
    return settings


def engineer(workspace, **settings):
    done = workspace.kedro("run", "--pipeline=data_engineering", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    data = workspace.root / "data"
    return (
        pl.read_parquet(data / "03_primary/panel.parquet"),
        pl.read_parquet(data / "04_feature/feature_matrix.parquet"),
        pl.read_parquet(data / "04_feature/feature_catalog.parquet"),
        json.loads((data / "03_primary/data_facts.json").read_text())["sources"],
    )


def test_what_is_there_gives_values_and_nothing_published_late_is_seen(fresh_workspace, tmp_path):
    workspace = fresh_workspace
    (workspace.root / "conf/local/parameters_sources.yml").write_text(json.dumps(PARAMETERS))
    (workspace.root / "conf/local/parameters_test.yml").write_text(
        json.dumps({"universe": "six", "universes": {"six": SIX}})
    )
    panel, matrix, catalog, notes = engineer(workspace, **given(tmp_path / "one", tables()))
    assert set(catalog.filter(pl.col("omitted").is_null())["feature"]) == {"ret_1d", *FEATURES}
    for name in FEATURES:
        late_rows = matrix.filter(pl.col("session") > date(2021, 6, 1))
        # An event is announced a month before it: two rows of three know of none to come.
        share = 0.7 if name == "days_to_event" else 0.2
        assert late_rows[name].null_count() < share * late_rows.height, name
        assert late_rows[name].n_unique() > 1, name
    assert all(not notes[name].startswith("none") for name in FAMILIES)
    assert notes["membership"].startswith("none: the universe as it was on each day is missing")
    assert "published after the last decision" not in notes["news"]

    moved_panel, moved_matrix, _, _ = engineer(workspace, **given(tmp_path / "two", tables(shift=3.0)))
    until = pl.col("session") <= CUT_DAY
    assert moved_panel.filter(until).equals(panel.filter(until))
    assert moved_matrix.filter(until).equals(matrix.filter(until))
    # The same values are there one decision later: a late value is late, not lost.
    for names in FAMILIES.values():
        after = ~until & (pl.col("session") <= CUT_DAY + timedelta(120))
        same = [moved_matrix.filter(after)[name].equals(matrix.filter(after)[name]) for name in names]
        assert not all(same), names
    row = (pl.col("symbol") == "AAPL") & (pl.col("session") == CUT_DAY)
    before, surface = tables()["options"], panel.filter(row)["iv_30d"].item()
    assert (
        surface
        == before.filter((pl.col("symbol") == "AAPL") & (pl.col("known_at") < CUT)).sort("known_at")["iv_30d"][-1]
    )


def test_what_is_not_there_leaves_its_features_out_with_the_reason(fresh_workspace):
    workspace = fresh_workspace
    workspace.configure({**PARAMETERS, "universe": "six", "universes": {"six": SIX}})
    _, matrix, catalog, notes = engineer(workspace)
    assert matrix.columns == ["symbol", "session", "ret_1d"]
    reasons = dict(catalog.filter(pl.col("omitted").is_not_null()).select("feature", "omitted").iter_rows())
    assert set(reasons) == set(FEATURES)
    assert reasons["iv_rank"] == "needs iv_30d, which the panel does not have"
    assert notes["options"] == "none: features implied by options (IV rank, term slope) are missing"
    assert notes["vix"] == "none: features of the VIX are missing"


def test_a_table_whose_moments_have_no_zone_is_refused(fresh_workspace, tmp_path):
    tmp_path.joinpath("news.csv").write_text("symbol,known_at,score,publisher\nAAPL,2022-03-01 14:00:00,0.5,Wire\n")
    done = fresh_workspace.kedro("run", "--pipeline=data_engineering", CONVICTION_NEWS=str(tmp_path / "news.csv"))
    assert done.returncode == 1
    assert "no moment with a time zone" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_a_renamed_company_keeps_its_history(fresh_workspace, tmp_path):
    workspace = fresh_workspace
    bars = pl.concat(
        pl.DataFrame({"date": SESSIONS, "close": 50.0 + np.arange(len(SESSIONS)) % (5 + n)}).with_columns(
            symbol=pl.lit(symbol)
        )
        for n, symbol in enumerate([*SIX, "FB"])
    )
    # FB became META; the ticker FB goes on as another company's.
    bars = bars.filter(pl.col("symbol") != "XOM")
    renamed = pl.col("symbol") == "FB"
    meta = bars.filter(renamed & (pl.col("date") > CUT_DAY)).with_columns(symbol=pl.lit("META"))
    pl.concat([bars, meta]).write_parquet(tmp_path / "bars.parquet")
    tmp_path.joinpath("renames.csv").write_text("old,new,date\nFB,META,2022-03-02\n")
    names = [*SIX[:5], "META"]
    parameters = {
        **PARAMETERS,
        "universe": "six",
        "universes": {"six": names},
        "features": {"names": ["ret_1d"], "sets": []},
    }
    (workspace.root / "conf/sp500/parameters.yml").write_text(json.dumps({"source": "long_table", **parameters}))
    files = {"CONVICTION_BARS": str(tmp_path / "bars.parquet"), "CONVICTION_RENAMES": str(tmp_path / "renames.csv")}
    done = workspace.kedro("run", "--env=sp500", "--pipeline=data_engineering", **files)
    assert done.returncode == 0, done.stdout + done.stderr
    panel = pl.read_parquet(workspace.root / "data/03_primary/panel.parquet")
    assert sorted(panel["symbol"].unique()) == sorted(names)
    assert panel.filter(pl.col("symbol") == "META")["session"].to_list() == SESSIONS
    notes = json.loads((workspace.root / "data/03_primary/data_facts.json").read_text())["sources"]
    assert notes["renames"] == "1 rows"
    alone = workspace.kedro(
        "run", "--env=sp500", "--pipeline=data_engineering", CONVICTION_BARS=files["CONVICTION_BARS"]
    )
    assert alone.returncode == 0, alone.stdout + alone.stderr
    panel = pl.read_parquet(workspace.root / "data/03_primary/panel.parquet")
    assert panel.filter(pl.col("symbol") == "META")["session"].min() > CUT_DAY
