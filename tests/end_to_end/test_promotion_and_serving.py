"""From a run to a champion, its server, its watch and back, by the commands that a person types."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import urllib3
import yaml

from conviction.serving import ServedModel
from conviction.testing import synthetic_market

SMALL = "synthetic.n_symbols=12,synthetic.n_sessions=800,synthetic.planted_auc=0.54"
SENTENCE = "A rehearsal on a made-up market, nothing follows it."
PARAMETERS = {
    "folds": {"n_folds": 2, "min_train_sessions": 300, "holdout_sessions": 80},
    "modeling": {"targets": ["relative"], "models": ["logistic", "lightgbm", "xgboost"], "tuning": {"n_trials": 2}},
    "evaluation": {"n_resamples": 200},
}
SYNTHETIC = ("--env=synthetic", f"--params={SMALL}")


def run_ids(workspace, experiment):
    runs = [run for run in workspace.runs(experiment) if run.data.tags.get("kind") == "command"]
    return [run.info.run_id for run in runs if run.data.tags["pipeline"] == "__default__"]


def test_real_prices_are_refused_with_every_reason_and_that_is_right(finished):
    (run_id,) = run_ids(finished, "research")
    done = finished.kedro("promote", run_id, "--params=promotion.targets=[relative]")
    assert done.returncode == 1, done.stderr
    assert "holds  certificate" in done.stdout
    failing = [line.split("  ")[2].strip() for line in done.stdout.splitlines() if line.startswith("  FAILS")]
    listed = [line for line in done.stdout.splitlines() if line.startswith("  - relative: ")]
    assert len(failing) == len(listed) >= 3
    assert any("placebo" in line and "profile=full" in line for line in listed), (
        "what was not evaluated is a reason too"
    )
    assert "this is the expected and right answer" in done.stdout
    assert "nothing was registered, there is still no champion" in done.stdout

    served = finished.kedro("serve")
    assert served.returncode == 1
    assert served.stderr.strip().startswith("RegistryError: there is no champion to serve")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["promote", "0" * 32], "no such run"),
        (["promote", "latest", "--force", "because"], "--force needs a sentence"),
        (["promote", "latest", "--env=synthetic"], "there is no finished main job"),
        (["rollback"], "there is no champion"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(finished, arguments, sentence):
    done = finished.kedro(*arguments)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def promoted(shared_workspace):
    """A workspace with a run on a made-up market, forced through the gate, and the request of its newest session."""
    workspace = shared_workspace("promotion")
    (workspace.root / "conf/local/parameters_test.yml").unlink()
    workspace.configure(PARAMETERS, env="synthetic")
    # Kedro refuses a key that stands in two files of one environment.
    (workspace.root / "conf/synthetic/parameters.yml").write_text("source: synthetic\ndata:\n  first_session: null\n")
    for arguments in (["run"], ["promote", "latest", "--force", SENTENCE], ["run", "--pipeline=inference"]):
        done = workspace.kedro(*arguments, *SYNTHETIC)
        assert done.returncode == 0, done.stdout + done.stderr
        workspace.output = done.stdout
    return workspace


def registry(workspace):
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{workspace.root / 'mlflow-synthetic.db'}")


@pytest.mark.slow
def test_a_forced_champion_says_so_and_stands_in_a_registry_of_its_own(promoted):
    version = registry(promoted).get_model_version_by_alias("conviction", "champion")
    assert version.tags["gate"] == "forced"
    assert version.tags["forced_because"] == SENTENCE
    assert version.run_id == run_ids(promoted, "synthetic")[0]
    assert promoted.client().search_registered_models() == [], "made-up models stand beside real ones"
    openings = json.loads((promoted.root / "data/synthetic/08_reporting/holdout_openings.json").read_text())
    assert [one["run_id"] for one in openings] == [f"promotion of {version.run_id}"]
    files = [path for path in Path(version.source.removeprefix("file://")).rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".cloudpickle", ".joblib")]
    text = (Path(version.source.removeprefix("file://")) / "MLmodel").read_text()
    assert "loader_module: conviction_kedro.serving" in text
    assert "python_model" not in text


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def post(url, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = urllib3.request(
        "POST",
        f"{url}/invocations",
        body=content,
        headers={"Content-Type": "application/json"},
        timeout=60,
        retries=False,
    )
    return answer.status, answer.json() if answer.status == 200 else answer.data.decode()


@pytest.fixture(scope="module")
def endpoint(promoted):
    """The champion behind MLflow's own server, at the evening of the newest session."""
    port = free_port()
    session = json.loads((promoted.root / "data/synthetic/07_model_output/inference_request.json").read_text())[
        "session"
    ]
    command = [sys.executable, "-m", "kedro", "serve", "--env=synthetic", f"--port={port}", f"--as-of={session}T23:00"]
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "CONVICTION_"))}
    with (promoted.root / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=promoted.root, env=variables, stdout=log, stderr=log, start_new_session=True
        )
        try:
            done = promoted.kedro("endpoint", "wait", f"http://127.0.0.1:{port}", "--timeout=180")
            assert done.returncode == 0, done.stderr + (promoted.root / "server.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


@pytest.mark.slow
def test_the_server_says_what_batch_says_to_the_last_bit(promoted, endpoint):
    body = json.loads((promoted.root / "data/synthetic/07_model_output/inference_body.json").read_text())
    status, answer = post(endpoint, body)
    assert status == 200, answer
    source = registry(promoted).get_model_version_by_alias("conviction", "champion").source
    model = ServedModel.load(Path(source.removeprefix("file://")) / "data/conviction")
    rows = pl.read_parquet(promoted.root / "data/synthetic/07_model_output/inference_rows.parquet")
    wanted = model.score(rows)
    assert wanted.height == 12
    got = pl.DataFrame(answer["predictions"]).sort("symbol")
    for column in ("relative_score", "relative_probability"):
        assert got[column].to_list() == wanted[column].to_list()


@pytest.mark.slow
def test_a_wrong_request_is_refused_with_the_reason(promoted, endpoint):
    body = json.loads((promoted.root / "data/synthetic/07_model_output/inference_body.json").read_text())
    session = body["dataframe_split"]["data"][0][1]

    def refused(reason, change):
        wrong = copy.deepcopy(body)
        change(wrong["dataframe_split"]["columns"], wrong["dataframe_split"]["data"], wrong["params"])
        status, answer = post(endpoint, wrong)
        assert 400 <= status < 500, answer
        assert reason in answer, answer[-500:]

    def each(position, value):
        def change(columns, data, params):
            for row in data:
                row[position] = value

        return change

    refused("a partial session: 11 of 12 symbols", lambda columns, data, params: data.pop())
    refused("unknown symbols ZZZ", lambda columns, data, params: data[0].__setitem__(0, "ZZZ"))
    refused("Model is missing inputs ['ret_1d']", lambda columns, data, params: columns.__setitem__(2, "foo"))
    refused("could not convert string to float", lambda columns, data, params: data[0].__setitem__(2, "much"))
    refused("missing values (NaN) in ret_1d", lambda columns, data, params: data[0].__setitem__(2, None))
    refused("the model was fitted under", lambda columns, data, params: params.update(certificate_sha="f" * 64))
    refused("no certificate", lambda columns, data, params: params.clear())
    refused("a stale session", each(1, "2017-01-03"))
    refused("a future session", each(1, "2030-01-03"))
    refused("2 sessions in one request", lambda columns, data, params: data[0].__setitem__(1, "2030-01-03"))
    status, answer = post(endpoint, b"{no json")
    assert status == 400, answer
    assert post(endpoint, body)[0] == 200, f"after all that {session} is still answered"


@pytest.mark.slow
def test_a_second_champion_must_be_better_and_can_be_taken_back(promoted):
    refused = promoted.kedro("promote", "latest", *SYNTHETIC)
    assert refused.returncode == 1
    assert "This run is today's champion already, version 1." in refused.stdout
    forced = promoted.kedro("promote", "latest", "--force", SENTENCE, *SYNTHETIC)
    assert forced.returncode == 0, forced.stderr
    assert registry(promoted).get_model_version_by_alias("conviction", "champion").version in (2, "2")
    back = promoted.kedro("rollback", "--env=synthetic")
    assert back.returncode == 0, back.stderr
    assert "version 1 (run" in back.stdout
    assert registry(promoted).get_model_version_by_alias("conviction", "champion").version in (1, "1")
    first = promoted.kedro("rollback", "--env=synthetic")
    assert first.returncode == 1
    assert "version 1 is the first champion" in first.stderr


@pytest.mark.slow
def test_monitoring_is_silent_on_the_market_it_knows_and_rings_on_a_changed_one(promoted, copy_of):
    workspace = copy_of(promoted)
    root = workspace.root
    quiet = workspace.kedro("run", "--pipeline=monitoring", *SYNTHETIC)
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    report = json.loads((root / "data/synthetic/08_reporting/drift_report.json").read_text())
    assert report["alarm"] is False
    assert {row["kind"] for row in report["columns"]} == {"feature", "label", "score"}

    bars = synthetic_market(n_symbols=12, n_sessions=800, seed=7, planted_auc=0.54).bars
    newest = bars["session"].unique().sort()[-21]
    loud = pl.when(pl.col("session") >= newest)
    shifted = bars.with_columns(volume=loud.then(pl.col("volume") * 200).otherwise("volume"))
    if "volume" not in bars.columns:
        raise AssertionError(bars.columns)
    shifted.write_parquet(root / "changed.parquet")
    catalog = yaml.safe_load((root / "conf/synthetic/catalog.yml").read_text())
    catalog["raw_bars"] = {
        "type": "polars.EagerPolarsDataset", "filepath": "changed.parquet", "file_format": "parquet",
        "metadata": {"kedro-viz": {"layer": "raw"}},
    }  # fmt: skip
    (root / "conf/synthetic/catalog.yml").write_text(yaml.safe_dump(catalog))
    done = workspace.kedro("run", "--pipeline=monitoring", *SYNTHETIC)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DriftAlarm: the newest sessions no longer look like the reference" in done.stderr
    report = json.loads((root / "data/synthetic/08_reporting/drift_report.json").read_text())
    assert report["alarm"] is True, "the report is saved before the run ends"


@pytest.mark.slow
def test_the_monthly_job_runs_everything_and_keeps_what_is_served(promoted, copy_of):
    workspace = copy_of(promoted)
    done = workspace.kedro("retrain", *SYNTHETIC)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "GATE of run" in done.stdout
    assert "RETRAINED  refused by the gate: what was served is served on" in done.stdout
    assert "version 1 stays the champion" in done.stdout
    assert "placebo at 0.5        20 placebos" in done.stdout, "it runs with profile=full"


STRONG = (
    "profile=full,synthetic.n_sessions=1400,synthetic.planted_auc=0.55,folds.n_folds=3,portfolio.cost_bps=1,"
    "modeling.tuning.n_trials=1,modeling.targets=relative,modeling.models=logistic lightgbm"
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_planted_signal_holds_the_whole_gate(shared_workspace):
    """A gate that can only refuse is no use."""
    workspace = shared_workspace("strong")
    assurance = {"n_seeds": 2, "n_repeats": 1, "n_shadow_sets": 1}
    workspace.configure({"assurance": assurance}, env="synthetic")
    done = workspace.kedro("run", "--env=synthetic", f"--params={STRONG}", timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    promoted = workspace.kedro("promote", "latest", "--env=synthetic", f"--params={STRONG}")
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    assert promoted.stdout.count("  holds  ") == 7
    assert "is the champion (the gate holds)" in promoted.stdout
