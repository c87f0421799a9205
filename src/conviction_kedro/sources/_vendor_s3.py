"""The vendor's bucket of flat files: listing and download, with errors in our own words."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, BinaryIO

from conviction.errors import ParameterError
from conviction_kedro.sources._errors import RetryableError, SourceError
from conviction_kedro.sources._secrets import resolve_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FLAT_FILE_ENDPOINT = "https://files.massive.com"
_CHUNK = 1 << 20
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException"}


@dataclass(frozen=True, kw_only=True)
class VendorObject:
    """One file as the vendor lists it."""

    key: str
    etag: str
    size: int
    modified: str


class FlatFileSource:
    """The vendor's bucket, read only, through its own endpoint and keys.

    Parameters
    ----------
    credentials : mapping
        ``{key, secret}`` and optionally ``client_kwargs: {endpoint_url, region_name}``, as Kedro keeps them for S3; values
        may be references (`resolve_secret`). These are the vendor's S3 keys, not the keys of the workspace's bucket.
    bucket : str
        The vendor's bucket.
    endpoint_url : str, optional
        Overrides the endpoint of the credentials.

    Examples
    --------
    >>> FlatFileSource({"key": "id", "secret": "hush"})
    FlatFileSource(bucket='flatfiles', endpoint_url='https://files.massive.com')
    """

    def __init__(
        self, credentials: Mapping[str, Any], *, bucket: str = "flatfiles", endpoint_url: str | None = None
    ) -> None:
        clients = dict(credentials.get("client_kwargs") or {})
        self.bucket = bucket
        self.endpoint_url = endpoint_url or clients.get("endpoint_url") or FLAT_FILE_ENDPOINT
        self._region = clients.get("region_name", "us-east-1")
        missing = [name for name in ("key", "secret") if not credentials.get(name)]
        if missing:
            raise ParameterError(
                what="the credentials of the flat files are incomplete",
                got=f"no {' and no '.join(missing)}",
                allowed="{key: ..., secret: ...}: the S3 access key and secret of the vendor's dashboard (not the REST key)",
                fix="add them to conf/local/credentials.yml, as values, env:NAME or secretsmanager:NAME#key",
            )
        self._credentials = {name: credentials[name] for name in ("key", "secret")}
        self._client: Any = None

    def __repr__(self) -> str:
        return f"FlatFileSource(bucket={self.bucket!r}, endpoint_url={self.endpoint_url!r})"

    @property
    def client(self) -> Any:
        """The boto3 client, made at the first use; it is safe to share between threads."""
        if self._client is None:
            import boto3
            from botocore.config import Config

            resolved = resolve_credentials(self._credentials)
            config = Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                # One retry policy for the whole copy, bodies included: see RetryPolicy.
                retries={"total_max_attempts": 1},
                connect_timeout=20,
                read_timeout=60,
                # Not every S3-compatible store knows the newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            self._client = boto3.client(
                "s3",
                endpoint_url=self.endpoint_url,
                region_name=self._region,
                aws_access_key_id=resolved["key"],
                aws_secret_access_key=resolved["secret"],
                config=config,
            )
        return self._client

    def list(self, prefix: str) -> list[VendorObject]:
        """Return every file under a prefix, whatever the number of pages.

        Raises
        ------
        SourceError
            If the vendor refuses; a RetryableError if the same request may work later.
        """
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        with _translated(prefix):
            return [
                VendorObject(
                    key=item["Key"],
                    etag=item["ETag"].strip('"'),
                    size=int(item["Size"]),
                    modified=item["LastModified"].astimezone(UTC).isoformat(),
                )
                for page in pages
                for item in page.get("Contents", [])
            ]

    def download(self, wanted: VendorObject, handle: BinaryIO) -> str:
        """Write exactly the listed edition of a file and return its SHA-256.

        Raises
        ------
        RetryableError
            If fewer bytes came than the listing promised, or the connection or the vendor failed for the moment.
        SourceError
            If the vendor refuses the keys or the file, or has replaced it since the listing.
        """
        handle.seek(0)
        handle.truncate()
        digest, size = hashlib.sha256(), 0
        with _translated(wanted.key):
            # IfMatch: a file replaced between the listing and this request must not pass for the listed one.
            answer = self.client.get_object(Bucket=self.bucket, Key=wanted.key, IfMatch=f'"{wanted.etag}"')
            for chunk in answer["Body"].iter_chunks(_CHUNK):
                handle.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        if size != wanted.size:
            raise RetryableError(
                what=f"the vendor sent a part of {wanted.key}",
                got=f"{size} bytes",
                allowed=f"{wanted.size} bytes, as listed",
                fix="run the copy again; it goes on where it stopped",
            )
        return digest.hexdigest()


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Say in our own words what went wrong with an S3 request, and whether a repetition may help."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, IncompleteReadError  # noqa: A004

    try:
        yield
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise RetryableError(
            what=f"the connection to the vendor failed at {name}",
            got=type(error).__name__,
            allowed="a whole answer",
            fix="check the endpoint and the network, then run the copy again; it goes on where it stopped",
        ) from error
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _BUSY or status == 429 or status >= 500:
            raise RetryableError(
                what=f"the vendor is busy at {name}",
                got=f"{code} (HTTP {status})",
                allowed="HTTP 200",
                fix="run the copy again later; it goes on where it stopped",
            ) from error
        raise _refusal(name, code, status) from error


def _refusal(name: str, code: str, status: int) -> SourceError:
    if status == 412:
        return SourceError(
            what=f"the vendor replaced {name} during the copy",
            got="another ETag than the listed one",
            allowed="the listed edition",
            fix="run the copy again",
        )
    return SourceError(
        what=f"the vendor refuses {name}",
        got=f"{code} (HTTP {status})",
        allowed="HTTP 200",
        fix="check that the S3 keys are the vendor's flat-file keys and that the subscription covers this market and date",
    )
