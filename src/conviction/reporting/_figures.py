"""The same figures for Plotly: node previews in Kedro-Viz, artifacts of a tracking run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from conviction.reporting._contents import METRICS, ReportContents
from conviction.reporting._tables import (
    KIND_COLOURS,
    PALETTE,
    ROLE_COLOURS,
    cumulative_daily_auc,
    fold_name,
    fold_spans,
    lead_lag_matrix,
    null_standard_error,
    ordered_scores,
    thin,
)
from conviction.reporting._verdict import number

if TYPE_CHECKING:
    import plotly.graph_objects as go

FIGURE_NAMES: tuple[str, ...] = ("auc_forest", "daily_auc", "folds", "lead_lag", "per_symbol")
_DASH = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_LINES = ("blue", "vermillion", "green", "orange", "purple", "sky", "grey")


def figures(contents: ReportContents) -> dict[str, go.Figure]:
    """Return the figures of a report for Plotly.

    Parameters
    ----------
    contents : ReportContents
        The report.

    Returns
    -------
    dict of str to plotly.graph_objects.Figure
        Always the names of `FIGURE_NAMES`; a figure whose table is absent says so instead of showing axes.
    """
    return {
        "auc_forest": _forest(contents),
        "daily_auc": _walks(contents),
        "folds": _timeline(contents),
        "lead_lag": _lead_lag(contents),
        "per_symbol": _symbols(contents),
    }


def _forest(contents: ReportContents) -> go.Figure:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    metric = next((m for m in ("auc_daily", "auc_pooled") if m in contents.metrics), None)
    if metric is None:
        return _absent("AUC with intervals", "no AUC is defined")
    targets = contents.targets
    figure = make_subplots(rows=len(targets), cols=1, shared_xaxes=True, subplot_titles=targets, vertical_spacing=0.12)
    seen: set[str] = set()
    height = 140
    for index, target in enumerate(targets, start=1):
        rows = [row for row in ordered_scores(contents, target, "oof") if row[metric] is not None][::-1]
        height += 26 * len(rows) + 40
        for kind in ("baseline", "model", "ensemble"):
            part = [row for row in rows if row["kind"] == kind]
            if not part:
                continue
            values = [row[metric] for row in part]
            error = {
                "type": "data",
                "symmetric": False,
                "array": [row[f"{metric}_hi"] - row[metric] for row in part],
                "arrayminus": [row[metric] - row[f"{metric}_lo"] for row in part],
            }
            trace = go.Scatter(
                x=values,
                y=[row["model"] for row in part],
                error_x=error,
                mode="markers",
                name=kind,
                legendgroup=kind,
                showlegend=kind not in seen,
                marker={"color": PALETTE[KIND_COLOURS[kind]], "size": 9},
                customdata=[[row[f"{metric}_lo"], row[f"{metric}_hi"]] for row in part],
                hovertemplate="%{y}: %{x:.4f} [%{customdata[0]:.4f}, %{customdata[1]:.4f}]<extra></extra>",
            )
            figure.add_trace(trace, row=index, col=1)
            seen.add(kind)
        figure.add_vline(x=0.5, line_dash="dot", line_color=PALETTE["grey"], row=index, col=1)
    figure.update_xaxes(title_text=METRICS[metric], row=len(targets), col=1)
    return _styled(figure, f"{METRICS[metric]}, out of fold, with 95 % intervals", height=height)


def _symbols(contents: ReportContents) -> go.Figure:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    if not contents.symbols:
        return _absent("AUC of each symbol", "no per-symbol scores were given")
    titles = [f"{scores.target}, {scores.model}" for scores in contents.symbols]
    figure = make_subplots(rows=len(titles), cols=1, subplot_titles=titles, vertical_spacing=0.2 / len(titles))
    for index, scores in enumerate(contents.symbols, start=1):
        rows = scores.frame.drop_nulls("auc").sort("auc").to_dicts()
        names = [row["symbol"] for row in rows]
        reach = [1.96 * null_standard_error(row["n"]) for row in rows]
        values = [row["auc"] for row in rows]
        for sign, fill in ((1, None), (-1, "tonexty")):
            band = go.Scatter(
                x=names,
                y=[0.5 + sign * r for r in reach],
                mode="lines",
                line={"width": 0},
                fill=fill,
                fillcolor="rgba(138,138,138,.25)",
                hoverinfo="skip",
                name="95 % of coin flips",
                showlegend=fill is not None and index == 1,
            )
            figure.add_trace(band, row=index, col=1)
        points = go.Scatter(
            x=names,
            y=values,
            mode="markers",
            marker={"color": PALETTE["blue"], "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [row["hi"] - row["auc"] for row in rows],
                "arrayminus": [row["auc"] - row["lo"] for row in rows],
                "thickness": 1,
            },
            name="AUC and 95 % interval",
            showlegend=index == 1,
        )
        figure.add_trace(points, row=index, col=1)
        note = f"{scores.observed_over} over {number(scores.threshold, 2)}, {number(scores.expected_over, 1)} by chance"
        figure.add_hline(y=scores.threshold, line_dash="dash", line_color=PALETTE["vermillion"], row=index, col=1)
        figure.layout.annotations[index - 1].text += f": {note}"
    return _styled(figure, "AUC of each symbol over the band of chance", height=140 + 300 * len(titles))


def _walks(contents: ReportContents) -> go.Figure:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    daily = contents.daily_auc
    walks = {} if daily is None else {target: cumulative_daily_auc(daily, target) for target in contents.targets}
    walks = {target: lines for target, lines in walks.items() if lines}
    if not walks:
        return _absent("Skill through time", "no daily AUC was given")
    figure = make_subplots(rows=len(walks), cols=1, shared_xaxes=True, subplot_titles=list(walks))
    models = sorted({walk.model for lines in walks.values() for walk in lines})
    for index, lines in enumerate(walks.values(), start=1):
        for walk in lines:
            place = models.index(walk.model)
            trace = go.Scatter(
                x=[walk.sessions[i] for i in thin(len(walk.sessions), 400)],
                y=[round(walk.total[i], 4) for i in thin(len(walk.total), 400)],
                name=walk.model,
                legendgroup=walk.model,
                showlegend=index == 1,
                line={"color": PALETTE[_LINES[place % len(_LINES)]], "dash": _DASH[place % len(_DASH)]},
            )
            figure.add_trace(trace, row=index, col=1)
        widest = max(lines, key=lambda walk: walk.band[-1])
        for sign in (1, -1):
            edge = go.Scatter(
                x=[widest.sessions[i] for i in thin(len(widest.sessions), 100)],
                y=[round(sign * widest.band[i], 4) for i in thin(len(widest.band), 100)],
                mode="lines",
                line={"color": PALETTE["grey"], "width": 1, "dash": "dot"},
                name="95 % without skill",
                legendgroup="band",
                showlegend=index == 1 and sign == 1,
                hoverinfo="skip",
            )
            figure.add_trace(edge, row=index, col=1)
    title = "Running sum of (daily AUC - 0.5), out of fold"
    return _styled(figure, title, height=140 + 280 * len(walks))


def _timeline(contents: ReportContents) -> go.Figure:
    import plotly.graph_objects as go

    spans = fold_spans(contents.folds)
    if not spans:
        return _absent("Fold plan", "the fold plan is empty")
    figure = go.Figure()
    for role in ROLE_COLOURS:
        part = [span for span in spans if span.role == role]
        if part:
            days = [((span.last - span.first).days + 1) * 86_400_000 for span in part]
            figure.add_trace(
                go.Bar(
                    base=[span.first.isoformat() for span in part],
                    x=days,
                    y=[f"fold {name}" if name.isdigit() else name for name in (fold_name(span.fold) for span in part)],
                    orientation="h",
                    name=role,
                    marker={"color": PALETTE[ROLE_COLOURS[role]], "line": {"width": 0}},
                    customdata=[[str(span.first), str(span.last), span.sessions] for span in part],
                    hovertemplate="%{y} "
                    + role
                    + ": %{customdata[0]} to %{customdata[1]}, %{customdata[2]} sessions<extra></extra>",
                )
            )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(type="date")
    figure.update_yaxes(autorange="reversed")
    folds = len({span.fold for span in spans})
    return _styled(figure, "Fold plan: what each fold may see, and when", height=170 + 34 * folds)


def _lead_lag(contents: ReportContents) -> go.Figure:
    import plotly.graph_objects as go

    profiles = lead_lag_matrix(contents.audit.profiles, most=60)
    if profiles is None:
        return _absent("Lead and lag", "the audit made no lead-lag profile")
    heat = go.Heatmap(
        z=[[None if ratio is None else round(ratio, 3) for ratio in line] for line in profiles.ratios],
        x=[f"{lag:+d}" if lag else "0" for lag in profiles.lags],
        y=profiles.columns,
        zmid=0,
        zmin=-3,
        zmax=3,
        colorscale=[[0, PALETTE["blue"]], [0.5, "#FFFFFF"], [1, PALETTE["orange"]]],
        colorbar={"title": "bands"},
    )
    figure = go.Figure(heat)
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title_text="sessions; + is after the decision", type="category")
    title = "Features against past and future returns, in units of the band of noise"
    return _styled(figure, title, height=170 + 18 * len(profiles.columns))


def _absent(title: str, reason: str) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_annotation(text=f"Not shown: {reason}.", showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return _styled(figure, title, height=220)


def _styled(figure: go.Figure, title: str, *, height: int) -> go.Figure:
    settings: dict[str, Any] = {
        "title": {"text": title, "font": {"size": 16}},
        "template": "plotly_white",
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 70, "b": 50},
        "colorway": _palette_in_order(_LINES),
    }
    figure.update_layout(**settings)
    return figure


def _palette_in_order(names: Sequence[str]) -> list[str]:
    return [PALETTE[name] for name in names]
