"""The comparison of runs as one self-contained HTML page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STYLE = """
:root{--paper:#fff;--ink:#17191c;--soft:#5c636b;--line:#dfe3e7;--card:#f6f7f9;--dot:#0072B2}
@media (prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e8eaed;--soft:#a2abb4;--line:#32383e;--card:#1d2125;--dot:#56B4E9}}
*{box-sizing:border-box} body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
h1{font-size:1.4rem} h2{font-size:1.1rem;margin:1.8rem 0 .4rem} p,li{max-width:76ch} .soft{color:var(--soft)} .scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem} th,td{border-bottom:1px solid var(--line);padding:.3rem .8rem .3rem 0;text-align:left;vertical-align:top;font-variant-numeric:tabular-nums}
td.wide{overflow-wrap:anywhere;white-space:pre-wrap} pre{background:var(--card);padding:.7rem;overflow-x:auto;font:.8rem/1.4 ui-monospace,Menlo,Consolas,monospace}
svg line{stroke:var(--dot);stroke-width:2} svg line.zero{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3} svg circle{fill:var(--dot)}
"""
_WIDTH, _HEIGHT = 240, 22


def render_comparison(view: Mapping[str, Any]) -> str:
    """Return the page: verdicts first, then paired intervals, then what differs.

    Parameters
    ----------
    view : mapping
        `runs` (as `kedro runs --json` has them), `pairs` (`Paired.as_dict`), `parameters`, `data`, `code` (name -> value of each
        run) and `differences` (run -> patch).

    Returns
    -------
    str
        HTML without script or request; follows the reader's light or dark setting.
    """
    names = [run["run"][:8] for run in view["runs"]]
    sections = [
        f"<h1>{' against '.join(reversed(names))}</h1>" if len(names) == 2 else f"<h1>{len(names)} runs</h1>",
        f"<p>{escape(view['sentence'])}</p>",
        "<h2>The runs</h2>",
        _table(["run", "when", "name", "data", "state", "scores"], [_run_row(run) for run in view["runs"]]),
        "<h2>Paired differences</h2>",
        (
            f"<p class='soft'>Each run minus {names[0]}, on the rows that both scored; intervals resample the same blocks of sessions for "
            "both. An interval that holds zero says: not distinguishable.</p>"
        ),
        _table(["run", "target", "model", "metric", "", "difference", "rows"], _pair_rows(view["pairs"])),
    ]
    for title, entry in (("Parameters", "parameters"), ("Data", "data"), ("Code and environment", "code")):
        rows = [[escape(name), *(escape(value) for value in values)] for name, values in view[entry].items()]
        body = _table([title.split()[0].lower(), *names], rows) if rows else "<p>No difference.</p>"
        sections += [f"<h2>{title}</h2>", body]
    for run, patch in view["differences"].items():
        sections += [f"<h2>Difference of {escape(run[:8])} from its commit</h2>", f"<pre>{escape(patch)}</pre>"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        f'<link rel="icon" href="data:,"><title>Comparison of runs</title><style>{_STYLE}</style></head>'
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are HTML already."""
    top = "".join(f"<th scope='col'>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td class='wide'>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='scroll'><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def _run_row(run: Mapping[str, Any]) -> list[str]:
    scores = []
    for score in run["scores"]:
        shown = [
            f"{metric} {score[metric][0]:.4f} [{score[metric][1]:.4f}, {score[metric][2]:.4f}]"
            for metric in ("auc_daily", "auc_pooled")
            if metric in score
        ]
        scores.append(f"{score['target']} {score['model']}: {'; '.join(shown)}: {score['verdict']}")
    cells = [
        run["run"][:8],
        run["when"][:16].replace("T", " "),
        run["name"],
        (run["data_fingerprint"] or "")[:8],
        run["state"],
    ]
    return [*(escape(str(cell)) for cell in cells), "<br>".join(escape(line) for line in scores)]


def _pair_rows(pairs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    reach = max((max(abs(pair["lo"]), abs(pair["hi"])) for pair in pairs if pair["lo"] is not None), default=0.01)
    rows = []
    for pair in pairs:
        names = [escape(str(part)) for part in (pair["run"][:8], pair["target"], pair["model"], pair["metric"])]
        if pair["delta"] is None:
            rows.append([*names, "", f"refused: {escape(pair['refused'])}", ""])
            continue
        text = f"{pair['delta']:+.4f} [{pair['lo']:+.4f}, {pair['hi']:+.4f}], p {pair['p']:.3f}"
        values = f"<br><span class='soft'>{pair['value']:.4f} against {pair['other']:.4f}</span>"
        counts = f"{pair['n_rows']} common in {pair['n_sessions']} sessions; {pair['n_unpaired']} in one run only"
        rows.append([*names, _bar(pair, reach or 0.01), text + values, counts])
    return rows


def _bar(pair: Mapping[str, Any], reach: float) -> str:
    def at(value: float) -> float:
        return round(_WIDTH / 2 + value / reach * (_WIDTH / 2 - 6), 1)

    middle = _HEIGHT / 2
    return (
        f"<svg width='{_WIDTH}' height='{_HEIGHT}' role='img' aria-label='{pair['delta']:+.4f}'>"
        f"<line class='zero' x1='{at(0)}' x2='{at(0)}' y1='0' y2='{_HEIGHT}'/>"
        f"<line x1='{at(pair['lo'])}' x2='{at(pair['hi'])}' y1='{middle}' y2='{middle}'/>"
        f"<circle cx='{at(pair['delta'])}' cy='{middle}' r='4'/></svg>"
    )
