"""The dataset pin: one place decides, and other data than the pinned ones never pass."""

from __future__ import annotations

import hashlib
import itertools
import subprocess

import polars as pl
import pytest

from conviction_kedro.datasets import LongBarsDataset
from conviction_kedro.sources import (
    PIN_VARIABLE,
    DatasetPin,
    PinError,
    check_pin,
    make_pin,
    measure,
    pin_file_of,
    read_pin_file,
    resolve_pin,
    write_pin_file,
)

SHA = "ab" * 32
BARS = pl.DataFrame(
    {"symbol": ["A", "A", "NA"], "date": ["2024-01-02", "2024-01-03", "2024-01-03"], "close": [1.0, 2.0, 3.0]}
)
PARTS = ("command line", "environment variable", "pin file", "default")


@pytest.mark.parametrize("given", [c for n in range(5) for c in itertools.combinations(range(4), n)])
def test_the_first_of_four_places_decides_alone(tmp_path, given):
    pins = [DatasetPin(uri=f"x{i}.csv", version=str(i), rows=i if i % 2 else None) for i in range(4)]
    write_pin_file(pins[2], tmp_path / "dataset_pin.yml")
    resolved = resolve_pin(
        command_line=str(pins[0]) if 0 in given else None,
        environ={PIN_VARIABLE: str(pins[1])} if 1 in given else {},
        pin_file=tmp_path / ("dataset_pin.yml" if 2 in given else "none.yml"),
        default=pins[3] if 3 in given else None,
    )
    if not given:
        assert resolved is None
    else:
        assert (resolved.pin, resolved.origin) == (pins[given[0]], PARTS[given[0]])
        assert resolved.to_dict()["origin"] == PARTS[given[0]]


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv(PIN_VARIABLE, f"bars.csv;sha256={SHA}")
    assert resolve_pin().pin == DatasetPin(uri="bars.csv", sha256=SHA)


def test_the_pin_file_of_the_environment_comes_before_that_of_base(tmp_path):
    assert pin_file_of(tmp_path, "s3") is None
    write_pin_file(DatasetPin(uri="base.csv", version="1"), tmp_path / "base/dataset_pin.yml")
    assert read_pin_file(pin_file_of(tmp_path, "s3")).uri == "base.csv"
    write_pin_file(DatasetPin(uri="s3.csv", version="1", sha256=SHA, rows=3), tmp_path / "s3/dataset_pin.yml")
    assert read_pin_file(pin_file_of(tmp_path, "s3")) == DatasetPin(uri="s3.csv", version="1", sha256=SHA, rows=3)
    assert pin_file_of(tmp_path, None) == tmp_path / "base/dataset_pin.yml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bars.csv", "neither version nor sha256"),
        ("bars.csv;sha256=abc", "wrong sha256: got abc"),
        (f"bars.csv;sha256={SHA};rows=many", "wrong rows: got many"),
        (f"bars.csv;sha256={SHA};rows=-1", "wrong rows: got -1"),
        ("bars.csv;version=1;version=2", "wrong text: got version=2"),
        ("bars.csv;version", "wrong text"),
        ("bars.csv;version=1;sha=2", r"wrong keys: got \['sha'\]"),
        (";version=1", "wrong uri"),
        ("s3://key:hush@bucket/bars.csv;version=1", r"wrong uri: got bucket/bars\.csv"),
    ],
)
def test_a_broken_pin_is_never_passed_over(text, message):
    with pytest.raises(PinError, match=message) as caught:
        resolve_pin(command_line=text, environ={PIN_VARIABLE: "other.csv;version=1"})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["- a list\n", "uri: [\n", "uri: x.csv\nrowss: 3\nversion: '1'\n", "version: '1'\n"]
)
def test_a_broken_pin_file_is_named(tmp_path, content):
    (tmp_path / "dataset_pin.yml").write_text(content)
    with pytest.raises(PinError, match="the dataset pin has a wrong"):
        resolve_pin(environ={}, pin_file=tmp_path / "dataset_pin.yml", default=DatasetPin(uri="x", version="1"))


@pytest.fixture(params=["disk", "bucket"])
def where(request, tmp_path, s3, our_credentials):
    """Return an address, credentials and a function that puts bytes there."""
    if request.param == "disk":

        def put(name, content):
            (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / name).write_bytes(content)

        return str(tmp_path / "data"), None, put
    return (
        "s3://ours/data",
        our_credentials,
        lambda name, content: s3.put_object(Bucket="ours", Key=f"data/{name}", Body=content),
    )


def as_bytes(name, frame):
    import io

    buffer = io.BytesIO()
    if name.endswith(".parquet"):
        frame.write_parquet(buffer)
    else:
        frame.write_csv(buffer)
    import gzip

    return gzip.compress(buffer.getvalue()) if name.endswith(".gz") else buffer.getvalue()


@pytest.mark.parametrize("name", ["bars.parquet", "bars.csv", "bars.csv.gz"])
def test_a_file_is_measured_and_any_other_content_is_refused(where, name):
    place, credentials, put = where
    content = as_bytes(name, BARS)
    put(name, content)
    pin = make_pin(f"{place}/{name}", credentials)
    assert (pin.rows, pin.columns, pin.sha256) == (3, 3, hashlib.sha256(content).hexdigest())
    assert check_pin(pin, credentials).files == 1
    put(name, as_bytes(name, BARS.with_columns(close=pl.lit(9.0))))
    with pytest.raises(PinError, match=f"got sha256 [0-9a-f]{{64}}; allowed: sha256 {pin.sha256}"):
        check_pin(pin, credentials)
    put(name, as_bytes(name, BARS.head(2).with_columns(x=1)))
    shown = DatasetPin(uri=pin.uri, sha256=make_pin(pin.uri, credentials).sha256, rows=3, columns=3)
    with pytest.raises(PinError, match="got rows 2, columns 4; allowed: rows 3, columns 3"):
        check_pin(shown, credentials)


def test_a_directory_is_pinned_as_a_whole(where):
    place, credentials, put = where
    for symbol in ("AAPL", "BRK-B", "NA"):
        put(f"p/{symbol}_features.csv", as_bytes("x.csv", BARS.drop("symbol")))
    pin = make_pin(f"{place}/p/", credentials)
    assert (pin.rows, pin.columns) == (9, 2)
    assert check_pin(pin, credentials).files == 3
    put("p/TSLA_features.csv", as_bytes("x.csv", BARS.drop("symbol")))
    with pytest.raises(PinError, match=r"rows 12; allowed: sha256 .*, rows 9"):
        check_pin(pin, credentials)


def test_the_hash_of_a_directory_can_be_recomputed_in_a_shell(tmp_path):
    for name in ("a.csv", "sub/b.csv", "B.csv", "notes.txt"):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_text(f"x\n{name}\n")
    script = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path / "d", capture_output=True, text=True, check=True
    ).stdout
    found = measure(str(tmp_path / "d"))
    assert (found.sha256, found.rows, found.files) == (printed.split()[0], 3, 4)


def test_an_object_version_is_part_of_the_pin(s3, our_credentials):
    s3.put_bucket_versioning(Bucket="ours", VersioningConfiguration={"Status": "Enabled"})
    uri = "s3://ours/bars.csv"
    first = s3.put_object(Bucket="ours", Key="bars.csv", Body=as_bytes("x.csv", BARS))["VersionId"]
    pin = make_pin(uri, our_credentials)
    assert pin.version == first
    assert check_pin(pin, our_credentials).current_version == first
    second = s3.put_object(Bucket="ours", Key="bars.csv", Body=as_bytes("x.csv", BARS.head(1)))["VersionId"]
    with pytest.raises(
        PinError, match=f"newer version than the pinned one: got version {second}; allowed: version {first}"
    ):
        check_pin(pin, our_credentials)
    assert check_pin(pin, our_credentials, superseded=True).rows == 3
    assert LongBarsDataset(filepath=uri, object_version=first, credentials=our_credentials).load().height == 3
    assert LongBarsDataset(filepath=uri, credentials=our_credentials).load().height == 1
    with pytest.raises(PinError, match="cannot be read: got no such version"):
        check_pin(DatasetPin(uri=uri, version="0" * 32), our_credentials)


def test_a_version_of_a_kedro_dataset_is_its_folder(where):
    place, credentials, put = where
    for version, frame in (("2024-01-02T00.00.00.000Z", BARS), ("2024-02-02T00.00.00.000Z", BARS.head(1))):
        put(f"bars.csv/{version}/bars.csv", as_bytes("x.csv", frame))
    pin = make_pin(f"{place}/bars.csv", credentials)
    assert (pin.version, pin.rows) == ("2024-02-02T00.00.00.000Z", 1)
    older = DatasetPin(uri=pin.uri, version="2024-01-02T00.00.00.000Z", rows=3)
    with pytest.raises(PinError, match="newer version"):
        check_pin(older, credentials)
    assert check_pin(older, credentials, superseded=True).rows == 3
    with pytest.raises(PinError, match=r"got versions \['2024-01"):
        check_pin(DatasetPin(uri=pin.uri, version="2023"), credentials)


def test_nothing_and_the_unreadable_are_errors(where):
    place, credentials, put = where
    with pytest.raises(PinError, match="got nothing; allowed: a file or a directory"):
        make_pin(f"{place}/nothing.csv", credentials)
    put("bars.parquet", b"PAR1")
    with pytest.raises(PinError, match=r"the table bars\.parquet cannot be read"):
        make_pin(f"{place}/bars.parquet", credentials)
    put("bars.csv", as_bytes("x.csv", BARS))
    with pytest.raises(PinError, match="a place without versions; allowed: version 7"):
        check_pin(DatasetPin(uri=f"{place}/bars.csv", version="7"), credentials)
