"""The verdict that stands first on the page: one sentence per target, from the judgement on one row chosen beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from conviction.evaluation import Verdict
from conviction.reporting._contents import METRICS, ReportContents

Level = Literal["stop", "suspicious", "inverted", "baseline", "edge", "none", "underpowered"]
_LEVELS: dict[Verdict, Level] = {
    Verdict.SKILL: "edge",
    Verdict.LUCK: "none",
    Verdict.UNDERPOWERED: "underpowered",
    Verdict.IMPLAUSIBLE: "suspicious",
}
WORDS: dict[Level, str] = {
    "stop": "Do not use",
    "suspicious": "Too good: look for a leak",
    "baseline": "Above chance, but not shown to beat a simple baseline",
    "edge": "Above chance and above the baselines",
    "none": "No skill shown",
    "underpowered": "Too little data to tell",
    "inverted": "Below chance",
}
#: From what must be read first to what may be read last.
SEVERITY: tuple[Level, ...] = ("stop", "suspicious", "inverted", "baseline", "edge", "none", "underpowered")


@dataclass(frozen=True, kw_only=True)
class TargetVerdict:
    """The verdict on one target and split: the row it rests on, the level and the sentence."""

    target: str
    split: str
    model: str
    metric: str
    value: float
    lo: float
    hi: float
    level: Level
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The verdict on the whole run; its level is the most serious of its targets."""

    level: Level
    word: str
    sentence: str
    targets: tuple[TargetVerdict, ...]


def number(value: float, decimals: int = 3) -> str:
    """Return a number as text, without a minus sign on a rounded zero.

    Examples
    --------
    >>> number(0.51449), number(-0.0123, 4), number(-0.0001)
    ('0.514', '-0.0123', '0.000')
    """
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def interval(lo: float, hi: float, decimals: int = 3) -> str:
    """Return an interval as text.

    Examples
    --------
    >>> interval(0.508, 0.5203)
    '[0.508, 0.520]'
    """
    return f"[{number(lo, decimals)}, {number(hi, decimals)}]"


def headline(contents: ReportContents) -> Headline:
    """Say first what a report comes to.

    A failed audit overrules every score. Otherwise each target speaks through one row that was chosen before its score
    was seen (the ensemble's choice; without one, the best model, and the sentence says that it was picked afterwards).
    The level is that row's `verdict` from `conviction.evaluation.judge`: `edge` for skill (`baseline` when the best
    baseline is not below the interval), `none` for luck (`inverted` when the whole interval lies below 0.5),
    `underpowered`, `suspicious` for implausible. The number shown is the mean daily AUC, or the pooled AUC where no
    cross-section exists.

    Parameters
    ----------
    contents : ReportContents
        The report.

    Returns
    -------
    Headline
        Level, word and sentences; the hold-out is judged beside the out-of-fold split where it was opened.
    """
    verdicts = tuple(
        verdict
        for split in ("holdout", "oof")
        for target in contents.targets
        if (verdict := _judge(contents, target, split)) is not None
    )
    if contents.audit.verdict == "fail":
        errors = [finding for finding in contents.audit.findings if finding.severity == "error"]
        columns = sorted({column for finding in errors for column in finding.columns})
        guilty = f" Columns: {', '.join(columns[:8])}{' …' if len(columns) > 8 else ''}." if columns else ""
        sentence = f"The leakage audit failed with {len(errors)} error(s); no score below may be believed.{guilty}"
        return Headline(level="stop", word=WORDS["stop"], sentence=sentence, targets=verdicts)
    if not verdicts:
        return Headline(
            level="none", word=WORDS["none"], sentence="No score with an interval is defined.", targets=verdicts
        )
    if contents.quarantine:
        first, *others, asked = contents.quarantine
        more = f" {len(others)} more score{'' if len(others) == 1 else 's'} likewise." if others else ""
        return Headline(
            level="suspicious", word=WORDS["suspicious"], sentence=f"{first}{more} {asked}", targets=verdicts
        )
    level = min((verdict.level for verdict in verdicts), key=SEVERITY.index)
    sentence = " ".join(verdict.sentence for verdict in verdicts)
    return Headline(level=level, word=_word(level, verdicts), sentence=sentence, targets=verdicts)


def _word(level: Level, verdicts: tuple[TargetVerdict, ...]) -> str:
    """Return the word of a level, with the targets it holds for when it does not hold for all."""
    held = [verdict.target for verdict in verdicts if verdict.level == level]
    if len(held) == len(verdicts):
        return WORDS[level]
    return f"{WORDS[level]} ({', '.join(dict.fromkeys(held))} only)"


def chosen_model(contents: ReportContents, target: str) -> str | None:
    """Return the model whose row was chosen for `target` before its score was seen, if there is one."""
    for choice in contents.ensemble:
        if choice.target == target:
            return choice.model
    return None


def _judge(contents: ReportContents, target: str, split: str) -> TargetVerdict | None:
    rows = contents.scores.filter(pl.col("target") == target, pl.col("split") == split)
    candidates = rows.filter(pl.col("kind").is_in(["model", "ensemble"]))
    metric = next((m for m in ("auc_daily", "auc_pooled") if m in contents.metrics and _any(candidates, m)), None)
    if metric is None:
        return None
    chosen = candidates.filter(pl.col("model") == (chosen_model(contents, target) or ""), pl.col(metric).is_not_null())
    picked_after = chosen.is_empty()
    pool = candidates.filter(pl.col(metric).is_not_null()).sort(metric, descending=True)
    row = pool.row(0, named=True) if picked_after else chosen.row(0, named=True)
    value, lo, hi = (float(row[name]) for name in (metric, f"{metric}_lo", f"{metric}_hi"))
    baselines = rows.filter(pl.col("kind") == "baseline", pl.col(metric).is_not_null()).sort(metric, descending=True)
    best = baselines.row(0, named=True) if baselines.height else None
    level = _level(row["verdict"], lo, hi, best_baseline=None if best is None else float(best[metric]))
    where = "hold-out" if split == "holdout" else "out-of-fold"
    picked = f" (picked afterwards as the best of {pool.height})" if picked_after and pool.height > 1 else ""
    sentence = (
        f"{target}: {where} {METRICS[metric]} of {row['model']}{picked} is {number(value)} {interval(lo, hi)}: "
        f"{_meaning(level, lo)}{_against_baseline(best, metric, row, level)}."
    )
    return TargetVerdict(
        target=target,
        split=split,
        model=row["model"],
        metric=metric,
        value=value,
        lo=lo,
        hi=hi,
        level=level,
        sentence=sentence,
    )


def _level(verdict: str, lo: float, hi: float, *, best_baseline: float | None) -> Level:
    level = _LEVELS[Verdict(verdict)]
    if level == "edge" and best_baseline is not None and best_baseline >= lo:
        return "baseline"
    return "inverted" if level == "none" and hi < 0.5 else level


def _any(frame: pl.DataFrame, column: str) -> bool:
    return frame[column].null_count() < frame.height


def _meaning(level: Level, lo: float) -> str:
    if level == "none" and lo > 0.5:
        return "by itself just above 0.5, but not once the two AUCs count as two tests"
    return {
        "suspicious": "no honest daily data give that, so it is a leak until proved otherwise",
        "edge": "above 0.5 by more than luck explains",
        "baseline": "above 0.5 by more than luck explains",
        "inverted": "below 0.5, so the scores rank the wrong way round",
        "none": "not distinguishable from a coin flip",
        "underpowered": "too few sessions to tell skill from luck",
    }[level]


def _against_baseline(best: dict[str, Any] | None, metric: str, row: dict[str, Any], level: Level) -> str:
    """Say how the best baseline stands to the score: reaching into an edge, or above what shows no skill."""
    if best is None or level in ("suspicious", "inverted"):
        return ""
    text = f"{best['model']} {number(best[metric])} {interval(best[f'{metric}_lo'], best[f'{metric}_hi'])}"
    if best[metric] >= row[metric]:
        return f"; the baseline {text} does no worse"
    if level == "baseline":
        return f", but the baseline {text} reaches into that interval"
    return f", and the best baseline ({text}) stays under it" if level == "edge" else ""
