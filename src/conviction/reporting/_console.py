"""The summary that a run prints: verdict first, next steps last, at most thirty lines."""

from __future__ import annotations

from collections.abc import Mapping

from conviction.reporting._contents import METRICS, ReportContents
from conviction.reporting._tables import ordered_scores
from conviction.reporting._verdict import headline, interval, number

MOST_LINES = 30
_WIDTH = 100


def console_summary(contents: ReportContents, *, next_steps: Mapping[str, str] | None = None) -> str:
    """Return a report as plain text for a terminal or a log.

    Parameters
    ----------
    contents : ReportContents
        The report.
    next_steps : mapping of str to str or None
        What to look at next: label -> path or command; printed last.

    Returns
    -------
    str
        At most 30 lines without a trailing newline: verdict, audit, scores with intervals, luck, next steps. Rows of the
        scores table that do not fit are counted, not silently lost.
    """
    import textwrap

    head = headline(contents)
    top = [f"VERDICT  {head.word}"]
    sentences = (
        [head.sentence]
        if head.level == "stop" or contents.quarantine or not head.targets
        else [v.sentence for v in head.targets]
    )
    for sentence in sentences:
        top.extend(textwrap.wrap(sentence, _WIDTH, initial_indent="  ", subsequent_indent="    "))
    if len(top) > 10:
        top = [*top[:9], "    ... in full in the report"]
    audit = contents.audit
    errors = sum(finding.severity == "error" for finding in audit.findings)
    warnings = sum(finding.severity == "warning" for finding in audit.findings)
    top.append(
        f"AUDIT    {audit.verdict}; errors: {errors}, warnings: {warnings}; "
        f"configurations scored: {contents.trials}; hold-out openings: {contents.holdout_openings}"
    )
    bottom = [
        f"LUCK     {s.target}: {s.observed_over} of {s.frame.height} symbols over {number(s.threshold, 2)}, "
        f"{number(s.expected_over, 1)} expected by chance; best {number(s.observed_best)}, by chance {number(s.expected_best)}"
        for s in contents.symbols
    ][:4]
    steps = dict(next_steps or {})
    width = max((len(label) for label in steps), default=0)
    bottom += ["NEXT"] if steps else []
    bottom += [f"  {label:<{width}}  {where}" for label, where in steps.items()]
    scores = _score_lines(contents)
    room = MOST_LINES - len(top) - len(bottom)
    if len(scores) > room:
        left = len(scores) - max(room - 1, 0)
        scores = [*scores[: max(room - 1, 0)], f"  ... {left} more rows in the report"]
    return "\n".join([*top, *scores, *bottom])


def _score_lines(contents: ReportContents) -> list[str]:
    metrics = contents.metrics[:3]
    shown = [
        (split, target, row)
        for split in ("holdout", "oof")
        for target in contents.targets
        for row in ordered_scores(contents, target, split)
    ]
    if not shown or not metrics:
        return []
    name = max(len(row["model"]) for _, _, row in shown) + 2
    target_width = max(len(target) for _, target, _ in shown) + 2
    lines = ["SCORES   " + " " * (target_width + name - 2) + "".join(f"{METRICS[m]:<24}" for m in metrics).rstrip()]
    for split, target, row in shown:
        cells = [
            f"{number(row[m])} {interval(row[f'{m}_lo'], row[f'{m}_hi'])}" if row[m] is not None else "not defined"
            for m in metrics
        ]
        mark = "H" if split == "holdout" else "b" if row["kind"] == "baseline" else " "
        lines.append(
            f"  {mark}    {target:<{target_width}}{row['model']:<{name}}" + "".join(f"{c:<24}" for c in cells).rstrip()
        )
    return lines
