"""`conviction audit`: the leakage audit of any dataset, outside a Kedro project too."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import polars as pl

from conviction.errors import AuditError, ConvictionError
from conviction_kedro.headerless import audit_bundle_directory, is_bundle
from conviction_kedro.processed import repair

if TYPE_CHECKING:
    from conviction.audit import AuditReport

EXIT_PASS, EXIT_LEAK, EXIT_UNUSABLE = 0, 1, 2
_SOURCES = ("market", "macro_releases", "news")


@click.group()
def main() -> None:
    """Honest numbers for next-day stock direction."""


def read_table(path: Path) -> pl.DataFrame:
    """Read one CSV or Parquet table as it is: every row in its order, symbols as text.

    Parameters
    ----------
    path : pathlib.Path
        `.csv`, `.csv.gz` or `.parquet`.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    AuditError
        If the file is missing, of another kind, or unreadable; the message carries the reader's own words.
    """
    if not path.is_file():
        raise AuditError(what="no such file", got=path, allowed="a CSV or Parquet file", fix="check the path")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.name.endswith((".csv", ".csv.gz")):
            text = dict.fromkeys(("symbol", "ticker", "reference_month"), pl.String)
            return pl.read_csv(path, infer_schema_length=None, try_parse_dates=True, schema_overrides=text)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise AuditError(
            what=f"{path.name} cannot be read", got=error, allowed="a whole table", fix="write the file again"
        ) from error
    raise AuditError(
        what="unknown file format", got=path.name, allowed=".csv, .csv.gz, .parquet", fix="convert the file"
    )


def read_dataset(path: Path) -> pl.DataFrame:
    """Read a dataset: a long table, or a directory of `{SYMBOL}_features.csv`, symbol by symbol in name order.

    Parameters
    ----------
    path : pathlib.Path
        File or directory.

    Returns
    -------
    polars.DataFrame
        With a `symbol` column; rows in the order of the files.

    Raises
    ------
    AuditError
        If nothing can be read there.
    """
    if not path.is_dir():
        return read_table(path)
    files = sorted(path.glob("*_features.csv")) or sorted(path.glob("*_features.parquet"))
    if not files:
        raise AuditError(
            what="no dataset in the directory",
            got=path,
            allowed="files named {SYMBOL}_features.csv",
            fix="pass the directory that holds them",
        )
    parts = [read_table(file).with_columns(symbol=pl.lit(file.name.rsplit("_features", 1)[0])) for file in files]
    return pl.concat(parts, how="diagonal_relaxed")


def _parse_targets(entries: tuple[str, ...]) -> dict[str, int] | None:
    targets = {}
    for entry in entries:
        name, _, horizon = entry.rpartition(":")
        if not name or not horizon.isdigit() or int(horizon) < 1:
            raise AuditError(
                what="--target is not NAME:HORIZON",
                got=repr(entry),
                allowed="a column and sessions, e.g. target_1d:1",
                fix="write both",
            )
        targets[name] = int(horizon)
    return targets or None


@main.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--sources",
    type=click.Path(path_type=Path),
    help="Directory with market.csv, macro_releases.csv, news.csv (any subset).",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME:HORIZON",
    help="Target column and its horizon in sessions; may repeat.",
)
@click.option("--report", type=click.Path(path_type=Path), help="Write the report as JSON.")
@click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page.")
def audit(path: Path, sources: Path | None, targets: tuple[str, ...], report: Path | None, html: Path | None) -> None:
    """Audit a dataset for leakage. Exit code 0: pass, 1: leak, 2: unusable input.

    PATH is a directory of {SYMBOL}_features.csv, one long CSV or Parquet file with a symbol column, or the directory of
    a bundle for training jobs (train.csv, validation.csv, test.csv without header, feature_metadata.json).
    """
    from conviction.audit import audit_dataset

    try:
        wanted = _parse_targets(targets)
        if is_bundle(path):
            _deliver(audit_bundle_directory(path, targets=wanted), report=report, html=html)
        frame = read_dataset(path)
        given = None
        if sources is not None:
            if not sources.is_dir():
                raise AuditError(
                    what="no such directory", got=sources, allowed="a directory of source files", fix="check --sources"
                )
            if not any((sources / f"{name}.csv").is_file() for name in _SOURCES):
                raise AuditError(
                    what="no source in the directory",
                    got=sources,
                    allowed=", ".join(f"{name}.csv" for name in _SOURCES),
                    fix="check --sources",
                )
            given = {
                name: read_table(sources / f"{name}.csv") for name in _SOURCES if (sources / f"{name}.csv").is_file()
            }
        result = audit_dataset(frame, sources=given, targets=wanted, name=path.name)
    except (ConvictionError, pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        click.secho(f"{type(error).__name__}: {error}", err=True, fg="red")
        sys.exit(EXIT_UNUSABLE)
    _deliver(result, report=report, html=html)


def _deliver(result: AuditReport, *, report: Path | None, html: Path | None) -> NoReturn:
    click.echo(result.to_table())
    page = f"<!doctype html><meta charset='utf-8'><title>Leakage audit</title>{result.to_html()}"
    try:
        for file, text in ((report, json.dumps(result.to_dict(), indent=1, sort_keys=True)), (html, page)):
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    except OSError as error:
        click.secho(f"AuditError: the report cannot be written: {error}", err=True, fg="red")
        sys.exit(EXIT_UNUSABLE)
    sys.exit(EXIT_PASS if result.verdict == "pass" else EXIT_LEAK)


main.add_command(repair)
