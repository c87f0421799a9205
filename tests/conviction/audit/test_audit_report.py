"""The report: plain data and back, merged, as a table and as HTML."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conviction.audit import AuditReport, CheckRun, DatasetFacts, Finding, LeadLagProfile
from conviction.errors import AuditError

FACTS = DatasetFacts(
    fingerprint="f" * 64,
    rows=10,
    symbols=2,
    first_session="2020-01-02",
    last_session="2020-02-03",
    columns=3,
    name="a <b>",
)
LEAK = Finding(
    check="truncation",
    severity="error",
    columns=("x<1>", "y"),
    symbols=("AA",),
    first_session="2020-01-05",
    evidence={"rows": 3, "value": 0.5, "recomputed": None},
    explanation="It changes. " * 12,
    remedy="Shift it.",
)
NOTE = Finding(check="cross_section", severity="info", explanation="Ranks.", remedy="Nothing.")
WARNING = replace(NOTE, severity="warning", columns=("z",))
PROFILE = LeadLagProfile(column="x<1>", lags=(-1, 0, 1), values=(0.1, math.nan, 0.4), band=(0.05, math.nan, 0.05))
CHECK = CheckRun(name="truncation", evaluated=5, unit="cells", seconds=0.25, skipped=None)
REPORT = AuditReport(
    dataset=FACTS, checks=(CHECK,), findings=(NOTE, WARNING, LEAK), quality={"k": [1, 2]}, profiles=(PROFILE,)
)

#: A busy machine is no reason to fail.
unhurried = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
texts = st.text(max_size=30)
findings = st.builds(
    Finding,
    check=texts,
    severity=st.sampled_from(["error", "warning", "info"]),
    columns=st.lists(texts, max_size=3).map(tuple),
    symbols=st.lists(texts, max_size=3).map(tuple),
    first_session=st.none() | texts,
    evidence=st.dictionaries(
        texts, st.none() | texts | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False), max_size=3
    ),
    explanation=texts,
    remedy=texts,
)


@unhurried
@given(st.lists(findings, max_size=4))
def test_a_report_survives_its_json(found):
    report = replace(REPORT, findings=tuple(found), profiles=())
    assert AuditReport.from_dict(json.loads(report.to_json())) == report
    assert report.verdict == ("fail" if any(f.severity == "error" for f in found) else "pass")


@unhurried
@given(st.lists(findings, max_size=4), st.integers(60, 160))
def test_no_line_of_the_table_is_longer_than_asked(found, width):
    table = replace(REPORT, findings=tuple(found)).to_table(width=width)
    assert max(len(line) for line in table.split("\n")) <= max(width, 79)


def test_profiles_keep_their_gaps_through_json():
    (profile,) = AuditReport.from_dict(json.loads(REPORT.to_json())).profiles
    assert np.array_equal(profile.values, PROFILE.values, equal_nan=True)
    assert profile.lags == PROFILE.lags


def test_json_has_the_agreed_keys():
    plain = json.loads(REPORT.to_json())
    assert plain["schema_version"] == 1
    assert plain["verdict"] == "fail"
    assert set(plain["dataset"]) >= {"fingerprint", "rows", "symbols", "first_session", "last_session"}
    assert set(plain["findings"][0]) == {
        "check", "severity", "columns", "symbols", "first_session", "evidence", "explanation", "remedy",
    }  # fmt: skip
    assert set(plain["checks"][0]) >= {"name", "evaluated", "seconds"}


def test_evidence_that_json_cannot_say_is_made_plain():
    odd = replace(LEAK, evidence={"a": math.nan, "b": np.float64(0.5), "c": np.int64(3), "d": math.inf})
    plain = json.loads(replace(REPORT, findings=(odd,)).to_json())
    assert plain["findings"][0]["evidence"] == {"a": None, "b": 0.5, "c": 3, "d": None}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda p: p.update(verdict="pass"), "contradicts its findings"),
        (lambda p: p.update(schema_version=2), "schema version"),
        (lambda p: p.update(extra=1), r"unknown \['extra'\]"),
        (lambda p: p.pop("checks"), r"missing \['checks'\]"),
        (lambda p: p["findings"][0].pop("remedy"), r"missing \['remedy'\]"),
        (lambda p: p["findings"][0].update(severity="fatal"), "unknown severity"),
        (lambda p: p["profiles"][0].update(lags=[1]), "unequal lengths"),
    ],
)
def test_an_edited_report_is_refused(edit, message):
    plain = json.loads(REPORT.to_json())
    edit(plain)
    with pytest.raises(AuditError, match=message):
        AuditReport.from_dict(plain)


def test_errors_come_first_in_the_table_with_remedy_and_evidence():
    table = REPORT.to_table()
    assert table.index("ERROR") < table.index("WARNING") < table.index("INFO")
    for part in ("FAIL", "x<1>, y", "-> Shift it.", "value=0.5", "2020-01-05", "truncation", "0.250"):
        assert part in table
    assert "No findings." in replace(REPORT, findings=()).to_table()


def test_the_html_section_is_well_formed_escaped_and_self_contained():
    html = REPORT.to_html()
    root = ET.fromstring(html)  # noqa: S314 (our own output)
    assert root.tag == "section"
    assert "a <b>" in "".join(root.itertext())
    assert len(root.findall(".//svg")) == 1
    assert len(root.findall(".//svg/rect")) == 2
    assert "http" not in html
    assert "<script" not in html


def test_merged_reports_keep_everything():
    other = AuditReport(dataset=replace(FACTS, name="other"), checks=(CHECK,), findings=(LEAK,), quality={"q": 1})
    clean = replace(REPORT, findings=(NOTE,))
    merged = clean.merge(other, replace(other, quality={"q": 2}))
    assert (clean.verdict, merged.verdict) == ("pass", "fail")
    assert merged.dataset == FACTS
    assert (len(merged.findings), len(merged.checks), len(merged.profiles)) == (3, 3, 1)
    assert merged.quality["q"] == 2
    assert [facts["name"] for facts in merged.quality["merged"]] == ["other", "other"]
    assert AuditReport.from_dict(json.loads(merged.to_json())).to_dict() == json.loads(merged.to_json())


def test_guilty_columns_are_those_of_errors():
    assert REPORT.guilty_columns == ("x<1>", "y")
    assert REPORT.warnings == (WARNING,)
