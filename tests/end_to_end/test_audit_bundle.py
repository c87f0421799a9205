"""The headerless bundle for training jobs in `conviction audit`: honest, leaky and unusable ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from conviction_kedro.standalone import main

FEATURES = [f"f{i}" for i in range(6)]
ROWS = {"train": 3000, "validation": 1000, "test": 1000}


def parts(seed: int = 0) -> dict[str, np.ndarray]:
    """Return honest parts: a weak signal in f0, a scaler fitted on the training part."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(sum(ROWS.values()), len(FEATURES)))
    y = (0.06 * x[:, 0] + rng.normal(size=len(x)) > 0).astype(float)
    x = (x - x[: ROWS["train"]].mean(axis=0)) / x[: ROWS["train"]].std(axis=0)
    edges = np.cumsum([0, *ROWS.values()])
    whole = np.column_stack([y, x])
    return {name: whole[a:b].copy() for name, a, b in zip(ROWS, edges[:-1], edges[1:], strict=True)}


def write(folder: Path, given: dict[str, np.ndarray], **metadata: object) -> Path:
    folder.mkdir()
    for name, values in given.items():
        np.savetxt(folder / f"{name}.csv", values, delimiter=",", fmt="%.17g")
    named = {"target": "direction", "features": FEATURES} | metadata
    (folder / "feature_metadata.json").write_text(json.dumps(named))
    return folder


def audit(*arguments: object):
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


def test_an_honest_bundle_passes(tmp_path):
    result = audit(write(tmp_path / "b", parts()), "--report", tmp_path / "r.json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["verdict"] == "pass"
    assert report["dataset"]["rows"] == sum(ROWS.values())


def scaled_on_everything(given):
    whole = np.concatenate(list(given.values()))[:, 3]
    for values in given.values():
        values[:, 3] = (values[:, 3] - whole.mean()) / whole.std()


def stretched_on_everything(given):
    whole = np.concatenate(list(given.values()))[:, 3]
    whole_low, whole_high = min(whole.min(), -6.0), max(whole.max(), 6.0)
    given["test"][7, 3], given["validation"][9, 3] = whole_low, whole_high
    for values in given.values():
        values[:, 3] = (values[:, 3] - whole_low) / (whole_high - whole_low)


def copy_of_the_target(given):
    rng = np.random.default_rng(5)
    for values in given.values():
        values[:, 3] = values[:, 0] + rng.normal(size=len(values))


def target_in_the_gaps(given):
    rng = np.random.default_rng(5)
    for values in given.values():
        values[(values[:, 0] == 1) & (rng.random(len(values)) < 0.5), 3] = np.nan


def target_in_a_sum(given):
    rng = np.random.default_rng(5)
    for values in given.values():
        values[:, 3] = 6 * rng.normal(size=len(values))
        values[:, 4] = 1.5 * values[:, 0] + rng.normal(size=len(values)) - values[:, 3]


LEAKS = {
    "bundle.scaling": (scaled_on_everything, stretched_on_everything),
    "bundle.association": (copy_of_the_target, target_in_the_gaps),
    "bundle.spread": (target_in_a_sum,),
}


@pytest.mark.parametrize(("check", "spoil"), [(c, s) for c, every in LEAKS.items() for s in every])
def test_a_leak_in_the_bundle_is_named(tmp_path, check, spoil):
    given = parts()
    spoil(given)
    result = audit(write(tmp_path / "b", given), "--report", tmp_path / "r.json")
    assert result.exit_code == 1, result.output
    found = [f for f in json.loads((tmp_path / "r.json").read_text())["findings"] if f["severity"] == "error"]
    assert {f["check"] for f in found} == {check}
    assert "f2" in found[0]["columns"]


def test_rows_of_the_test_in_the_training_part_are_found(tmp_path):
    given = parts()
    rng = np.random.default_rng(1)
    given["train"][:40] = given["test"][100:140] + np.column_stack([np.zeros(40), 1e-4 * rng.normal(size=(40, 6))])
    result = audit(write(tmp_path / "b", given))
    assert result.exit_code == 1, result.output
    assert "bundle.copies" in result.output


@pytest.mark.parametrize(("gap", "code"), [(5, 0), (0, 1)])
def test_parts_must_leave_the_span_of_the_label_between_them(tmp_path, gap, code):
    from conviction.market import calendar_frame

    given = {name: values[:200] for name, values in parts().items()}
    folder = write(tmp_path / "b", given, horizon=5)
    days = calendar_frame("XNYS")["session"].to_list()[3000:]
    for number, name in enumerate(given):
        start = number * (20 + gap)
        rows = [f"S{i % 10},{days[start + i // 10]}" for i in range(200)]
        (folder / f"{name}_keys.csv").write_text("\n".join(["symbol,session", *rows]))
    result = audit(folder)
    assert result.exit_code == code, result.output
    assert ("labels of 5 session(s) overlap" in result.output) == (code == 1)


def no_metadata(folder):
    (folder / "feature_metadata.json").unlink()


def broken_metadata(folder):
    (folder / "feature_metadata.json").write_text("{")


def no_names(folder):
    (folder / "feature_metadata.json").write_text('{"target": "direction"}')


def too_few_names(folder):
    (folder / "feature_metadata.json").write_text('{"target": "direction", "features": ["a"]}')


def no_test(folder):
    (folder / "test.csv").unlink()


def empty_test(folder):
    (folder / "test.csv").write_text("")


def header(folder):
    text = (folder / "train.csv").read_text()
    (folder / "train.csv").write_text(",".join(["direction", *FEATURES]) + "\n" + text)


def constant_target(folder):
    for name in ROWS:
        lines = (folder / f"{name}.csv").read_text().splitlines()
        (folder / f"{name}.csv").write_text("\n".join("0," + line.split(",", 1)[1] for line in lines))


def bad_horizon(folder):
    named = {"target": "direction", "features": FEATURES, "horizon": "soon"}
    (folder / "feature_metadata.json").write_text(json.dumps(named))


UNUSABLE = {
    no_metadata: "feature_metadata.json",
    broken_metadata: "cannot be read",
    no_names: "list of names",
    too_few_names: "width",
    no_test: "test.csv",
    empty_test: "test.csv",
    header: "train holds text",
    constant_target: "constant",
    bad_horizon: "horizon",
}


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_an_unusable_bundle_ends_with_code_two_and_the_reason(tmp_path, spoil):
    folder = write(tmp_path / "b", {name: values[:300] for name, values in parts().items()})
    spoil(folder)
    result = audit(folder)
    assert result.exit_code == 2, result.output
    assert UNUSABLE[spoil] in result.output
    assert "Traceback" not in result.output
