"""`kedro runs` and `kedro compare` through the command line, on real runs."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser

import pytest
import yaml

from conviction.evaluation import EvaluationParameters, compare


@pytest.fixture(scope="module")
def two(tmp_path_factory, finished):
    """A workspace with the finished main job and one with other parameters and fewer sessions to score."""
    root = tmp_path_factory.mktemp("two") / "workspace"
    shutil.copytree(finished.root, root)
    workspace = type(finished)(root)
    done = workspace.kedro("run", "--params=modeling.tuning.n_trials=1,folds.embargo=6")
    assert done.returncode == 0, done.stderr
    return workspace


def listed(workspace):
    done = workspace.kedro("runs", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_runs_are_listed_newest_first_with_verdict_and_interval(two):
    newest, oldest = listed(two)
    assert newest["when"] >= oldest["when"]
    for row in (newest, oldest):
        assert (row["state"], row["audit"], row["dataset"]) == ("finished", "pass", "embedded six")
        (score,) = row["scores"]
        value, low, high = score["auc_daily"]
        assert low < value < high
        assert score["verdict"]
    text = two.kedro("runs").stdout
    assert text.index(newest["run"][:8]) < text.index(oldest["run"][:8])
    assert f"auc_daily {value:.4f} [{low:.4f}, {high:.4f}]" in text


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in {"src", "href"}]


def test_a_comparison_is_paired_on_common_rows_and_tells_what_differs(two):
    newest, oldest = listed(two)
    done = two.kedro("compare", oldest["run"][:6], newest["run"], "--json")
    assert done.returncode == 0, done.stderr
    view = json.loads(done.stdout)
    assert view["parameters"] == {"folds.embargo": ["5", "6"], "modeling.tuning.n_trials": ["2", "1"]}
    assert "sessions scored" in view["data"]
    assert "symbols" not in view["data"]
    assert view["code"] == {}
    pooled = next(pair for pair in view["pairs"] if pair["metric"] == "auc_pooled")
    assert pooled["n_unpaired"] > 0
    frames = []
    for run in (newest, oldest):
        path = two.client().download_artifacts(run["run"], "predictions/ensemble_oof.parquet")
        import polars as pl

        frames.append(pl.read_parquet(path).filter(pl.col("model") == "ensemble").drop("target", "model"))
    common = frames[0].join(frames[1], on=["symbol", "session"], how="inner")
    assert pooled["n_rows"] == common.drop_nulls("label").height
    seed = yaml.safe_load((two.root / "conf/base/parameters.yml").read_text())["seed"]
    expected = compare(*frames, evaluation=EvaluationParameters(n_resamples=200), seed=seed)
    assert (pooled["delta"], pooled["lo"], pooled["hi"]) == (expected.delta, expected.lo, expected.hi)
    page = (two.root / view["page"]).read_text()
    assert f"{pooled['delta']:+.4f} [{pooled['lo']:+.4f}, {pooled['hi']:+.4f}]" in page
    parser = _Page()
    parser.feed(page)
    assert set(parser.addresses) <= {"data:,"}


def test_names_that_fit_no_run_or_several_are_refused_with_the_choice(two):
    newest, oldest = listed(two)
    several = two.kedro("compare", newest["name"], oldest["run"])
    assert several.returncode == 1
    assert newest["run"][:8] in several.stderr
    assert oldest["run"][:8] in several.stderr
    none = two.kedro("compare", "nosuchrun", "latest")
    assert (none.returncode, "there is no such run" in none.stderr) == (1, True)
    same = two.kedro("compare", "latest", newest["run"][:8])
    assert (same.returncode, "needs different runs" in same.stderr) == (1, True)


def test_runs_without_common_targets_are_refused(two, tmp_path):
    two = type(two)(shutil.copytree(two.root, tmp_path / "three"))
    other = two.kedro(
        "run", "--params=modeling.targets=['direction'],modeling.models=['logistic']", "--to-nodes=ensembling.combine"
    )
    assert other.returncode == 0, other.stderr
    newest, *_, oldest = listed(two)
    refused = two.kedro("compare", oldest["run"], newest["run"])
    assert refused.returncode == 1
    assert "scored nothing in common" in refused.stderr
    assert "direction/" in refused.stderr
