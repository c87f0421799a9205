"""The page as text: whole, escaped, self-contained, every score beside its interval."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import polars as pl
import pytest

from conviction.reporting import METRICS, render_report

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Reader(HTMLParser):
    """Collects tags, attributes and the text of each cell; fails on tags that are not closed in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.cells, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append([dict(attrs).get("class") or "", ""])

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.text.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.cells[-1][1] += data


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def without_profiles(contents):
    return dataclasses.replace(contents.audit, profiles=())


@pytest.fixture(scope="module")
def page(contents):
    return render_report(contents)


def test_the_page_loads_nothing_and_runs_nothing(page):
    reader = read(page)
    assert not {"script", "iframe", "object", "embed", "img", "audio", "video"} & set(reader.tags)
    loading = [
        (tag, name, value) for tag, name, value in reader.attributes if name in ("src", "href", "srcset", "action")
    ]
    assert loading == [("link", "href", "data:,")]
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_the_page_is_small(page):
    assert 20_000 < len(page.encode()) < 500_000


def test_the_verdict_stands_first_and_the_sections_in_their_order(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        *("Leakage audit", "Data", "Scores", "Placebo", "Through time", "Symbol by symbol", "Calibration"),
        *(
            "Importance, fold by fold",
            "Stability of importance",
            "Money after costs",
            "Folds",
            "Lead and lag",
            "Provenance",
        ),
    ]
    assert page.index("Above chance and above the baselines (relative only)") < page.index("<h2>")


def test_sections_without_data_are_left_out(make, contents):
    names = (
        *("daily_auc", "calibration", "importance", "economics", "quantiles", "placebo"),
        *("selection", "decay", "stability"),
    )
    bare = render_report(make(**dict.fromkeys(names), symbols=(), audit=without_profiles(contents)))
    assert re.findall(r"<h2>(.*?)</h2>", bare) == ["Leakage audit", "Data", "Scores", "Folds", "Provenance"]


def test_every_score_cell_holds_its_interval(contents, page):
    cells = [text for kind, text in read(page).cells if kind == "num"]
    with_interval = [
        text for text in cells if re.fullmatch(r"-?\d+\.\d+ +\[-?\d+\.\d+, -?\d+\.\d+\](, t -?\d+\.\d)?", text)
    ]
    alone = [text for text in cells if text not in with_interval]
    reasons = [text for text in alone if text.strip() == contents.reasons["rank_ic"]]
    assert len(reasons) == contents.scores["rank_ic"].null_count() == 2
    span = [text for text in alone if " to " in text]
    assert len(alone) == len(reasons) + len(span)
    assert (
        len(with_interval)
        == contents.scores.height * len(contents.metrics) - len(reasons) + 4 * contents.economics.height
    )


def test_every_score_of_the_table_is_on_the_page(contents, page):
    for row in contents.scores.to_dicts():
        assert f"{row['auc_daily']:.3f} <small>[{row['auc_daily_lo']:.3f}, {row['auc_daily_hi']:.3f}]" in page


def test_an_undefined_metric_shows_its_reason_instead_of_a_number(make, contents):
    undefined = [f"auc_daily{suffix}" for suffix in ("", "_lo", "_hi", "_t")]
    scores = contents.scores.with_columns(
        pl.when(pl.col("model") == "base_rate").then(None).otherwise(name).alias(name) for name in undefined
    )
    page = render_report(make(scores=scores, reasons={"auc_daily": "all scores of a session are equal"}))
    cells = [text.strip() for kind, text in read(page).cells if kind == "num"]
    assert cells.count("all scores of a session are equal") == 2


def test_metrics_without_intervals_are_named_as_not_shown(make, contents):
    page = render_report(make(scores=contents.scores.drop("log_loss_hi", "brier_skill_lo")))
    assert "Not shown, because no interval was given: log loss, Brier skill." in page
    assert f"{contents.scores['log_loss'][0]:.4f}" not in page


def test_scores_as_probabilities_have_a_table_of_their_own(contents, page):
    headings = re.findall(r"<h3>(.*?)</h3>", page)
    assert headings.count("direction, as probabilities, against the base rate known before each fold") == 1
    row = contents.scores.row(0, named=True)
    assert f"{row['brier_skill']:.4f} <small>[{row['brier_skill_lo']:.4f}, {row['brier_skill_hi']:.4f}]" in page


def test_text_from_the_data_is_escaped(make):
    page = render_report(make(failed=True, title='<b onload="x">&'))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b onload=" in page
    read(page)


def test_symbol_names_are_escaped_inside_figures(make, contents):
    frame = contents.symbols[0].frame.with_columns(pl.lit("<x>").alias("symbol"))
    scores = type(contents.symbols[0])(
        target="direction", model="m", frame=frame, threshold=0.55, expected_over=0.0, expected_best=0.52
    )
    page = render_report(make(symbols=(scores,)))
    assert "<x>" not in page
    read(page)


def test_a_failed_audit_shows_no_praise_in_the_verdict(make):
    page = render_report(make(failed=True))
    verdict = page[page.index('class="verdict') : page.index("</section>")]
    assert "Do not use" in verdict
    assert "luck" not in verdict


def test_luck_stands_beside_the_symbols(contents, page):
    text = re.sub(r"\s+", " ", "".join(read(page).text))
    best = contents.symbols[0].frame.sort("auc", descending=True).row(0, named=True)
    assert f"The best is {best['symbol']} with {best['auc']:.3f}; the best of 20 symbols without skill is 0.526" in text


def test_five_hundred_symbols_keep_the_page_small_and_count_what_is_hidden(make, contents):
    frame = pl.concat([contents.symbols[0].frame] * 25).with_columns(
        pl.format("S{}", pl.int_range(pl.len())).alias("symbol")
    )
    scores = type(contents.symbols[0])(
        target="direction", model="m", frame=frame, threshold=0.55, expected_over=0.0, expected_best=0.54
    )
    page = render_report(make(symbols=(scores, scores)))
    assert "465 others stand in the saved table" in page
    assert len(page.encode()) < 500_000


def test_the_omitted_features_are_grouped_by_reason(page):
    assert "atr_14, stoch_k: no high and low" in page
    assert "obv: no volume" in page


def test_same_contents_same_text(contents, page):
    assert render_report(contents) == page


def test_every_metric_that_is_shown_has_a_name(contents):
    assert set(contents.metrics) <= set(METRICS)


def test_figures_name_no_colour_outside_the_palette(page):
    body = page[page.index("<body>") :]
    used = set(re.findall(r"#[0-9A-Fa-f]{6}", body))
    assert used <= {"#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#8A8A8A", "#D5DADF"}
    assert used


def test_a_future_lag_outside_its_band_is_framed_and_noise_is_not(page):
    framed = re.findall(r'stroke="var\(--ink\)" stroke-width="1.2"><title>(\S+) (\S+):', page)
    assert ("ret_1", "+1") in framed
    assert all(lag.startswith("+") for _, lag in framed)


def test_sizes_stand_once_when_they_are_the_same_and_in_each_row_when_not(make, contents):
    scores = contents.scores.with_columns(pl.col("n_rows", "n_sessions").cast(pl.Float64))
    assert render_report(make(scores=scores)).count("1,764 sessions, 35,280 rows each") == 2
    uneven = scores.with_columns(
        pl.when(pl.col("model") == "logistic").then(35_000.0).otherwise("n_rows").alias("n_rows")
    )
    page = render_report(make(scores=uneven))
    assert "rows each" not in page
    assert page.count(">35,280<") == contents.scores.height - 2
    assert page.count(">35,000<") == 2


def test_the_reason_of_a_verdict_is_shown_beside_it(make, contents):
    page = render_report(make(scores=contents.scores.with_columns(verdict_reason=pl.lit("p = 0.2 for two tests"))))
    assert page.count("p = 0.2 for two tests") == contents.scores.height


def test_what_was_not_evaluated_is_said_before_the_first_section(make, page):
    why = {"placebo": "profile=quick.", "shadow features": "profile=quick."}
    said = render_report(make(not_evaluated=why))
    assert "Not evaluated in this run.</b> placebo, shadow features: profile=quick." in said[: said.index("<h2>")]
    assert "Not evaluated in this run" not in page


def test_placebos_outside_their_band_are_counted_and_what_it_means_is_said(page):
    section = page[page.index("<h2>Placebo") : page.index("<h2>Through time")]
    assert section.count("all inside") == 1
    assert "1 outside: the pipeline lets a model see what it is scored on" in section


def test_choosing_has_its_price_and_an_undefined_part_says_so(page):
    section = page[page.index("What choosing costs") : page.index("<h2>Placebo")]
    for text in ("31.4", "0.510", "0.40", "0.45", "logistic, lightgbm, xgboost", "not defined"):
        assert text in section


def test_money_says_when_it_is_traded_and_which_trade_is_idealised(page):
    section = page[page.index("<h2>Money") : page.index("<h2>Folds")]
    assert section.count("idealised</span>") == 2
    assert "best less worst scores, one day later" in section
    assert "optimised portfolio, at the close" in section


def test_a_single_seed_without_shadows_is_not_called_evaluated(page):
    section = page[page.index("<h2>Stability") : page.index("<h2>Money")]
    assert "5 folds, 1 seed<" in section
    assert "not evaluated" in section
    assert "4 of 41" in section


def test_a_quarantine_overrules_every_verdict(make):
    sentence = "relative | logistic (oof): auc_daily 0.9100 lies above 0.55 as a whole."
    page = render_report(make(quarantine=(sentence, "The audit was asked again.")))
    top = page[: page.index("<h2>")]
    assert "Too good: look for a leak" in top
    assert sentence in top
    assert "The audit was asked again." in top
    assert "Above chance and above the baselines" not in page
