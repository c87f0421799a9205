"""JSON over HTTP for vendors' REST services: retried, checked, and silent about keys."""

from __future__ import annotations

import email.utils
import json
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import urllib3

from conviction_kedro.sources._errors import RetryableError, SourceError
from conviction_kedro.sources._retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction_kedro.sources._secrets import Secret

_KEY_IN_URL = re.compile(r"(?i)\b(api_?key|token)=[^&\s\"']+")
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


def redact(text: str) -> str:
    """Return a text with the value of every key in a URL masked.

    Examples
    --------
    >>> redact("GET /fred/series?series_id=GDP&api_key=abc HTTP/1.1")
    'GET /fred/series?series_id=GDP&api_key=********** HTTP/1.1'
    """
    return _KEY_IN_URL.sub(r"\1=**********", text)


def without_key(url: str) -> str:
    """Return an address without the query parameter of a key, fit to be stored.

    Examples
    --------
    >>> without_key("https://api.massive.com/v2/reference/news?apiKey=abc&cursor=x")
    'https://api.massive.com/v2/reference/news?cursor=x'
    """
    return re.sub(r"\?&+", "?", re.sub(r"&&+", "&", _KEY_IN_URL.sub("", url))).rstrip("?&")


class _RedactingFilter(logging.Filter):
    """Masks keys in the debug lines of the connection pool, which quote whole URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redact(a) if isinstance(a, str) else a for a in record.args)
        record.msg = redact(str(record.msg))
        return True


_FILTER = _RedactingFilter()


class JsonClient:
    """Reads JSON objects from one host.

    Parameters
    ----------
    base_url : str
        Scheme and host, ``https://api.massive.com``. Every request goes there: an address on another host, which a page
        of results could name, is refused, since the key would go with it.
    key : Secret
        The vendor's key.
    key_parameter : str, optional
        Name of the query parameter that carries the key, where a vendor takes no header; by default the key goes into the
        ``Authorization`` header and into no URL.
    retry : RetryPolicy, optional
    timeout : float
        Seconds for connecting and for each read.

    Examples
    --------
    >>> from conviction_kedro.sources import Secret
    >>> JsonClient("https://api.massive.com", Secret("abc"))
    JsonClient('https://api.massive.com')
    """

    def __init__(
        self,
        base_url: str,
        key: Secret,
        *,
        key_parameter: str | None = None,
        retry: RetryPolicy | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._key = key
        self._key_parameter = key_parameter
        self.retry = retry or RetryPolicy()
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=timeout, read=timeout), retries=False, maxsize=4
        )
        pool_logger = logging.getLogger("urllib3.connectionpool")
        if _FILTER not in pool_logger.filters:
            pool_logger.addFilter(_FILTER)

    def __repr__(self) -> str:
        return f"JsonClient({self.base_url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def get(self, address: str, parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Return one JSON object.

        Parameters
        ----------
        address : str
            Path below the base URL, or a whole address on the same host (a page's ``next_url``).
        parameters : mapping, optional
            Query parameters; None values are left out.

        Raises
        ------
        SourceError
            On a refusal (HTTP 4xx) at once; on a busy vendor, a cut connection or an undecodable answer after the last
            attempt of the retry policy. No message holds the key.
        """
        url = self._url(address, parameters)
        return self.retry.call(lambda: self._once(url), name=redact(f"GET {url}"))

    def get_bytes(self, address: str) -> bytes:
        """Return what lies at an address as it is; errors as for `get`."""
        url = self._url(address, None)
        return self.retry.call(lambda: self._answer(url, accept="*/*"), name=redact(f"GET {url}"))

    def _url(self, address: str, parameters: Mapping[str, object] | None) -> str:
        url = address if "://" in address else f"{self.base_url}{address}"
        ours, theirs = urlsplit(self.base_url), urlsplit(url)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise SourceError(
                what="a page of results points to another host, and the key would go with the request",
                got=f"{theirs.scheme}://{theirs.netloc}",
                allowed=self.base_url,
                fix="set base_url to the host that the vendor documents",
            )
        given = {name: str(value) for name, value in (parameters or {}).items() if value is not None}
        if not given:
            return url
        return f"{url}{'&' if theirs.query else '?'}{urlencode(given)}"

    def _once(self, url: str) -> dict[str, Any]:
        data = self._answer(url, accept="application/json")
        try:
            page = json.loads(data)
        except ValueError:
            raise _failure(got=f"{len(data)} bytes that are no JSON") from None
        if not isinstance(page, dict):
            raise _failure(got=f"JSON of type {type(page).__name__}")
        return page

    def _answer(self, url: str, *, accept: str) -> bytes:
        headers = {"Accept": accept, "Accept-Encoding": "gzip"}
        sent = url
        if not self._key.reveal():
            pass  # a service without keys
        elif self._key_parameter is None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        else:
            sent = f"{url}{'&' if urlsplit(url).query else '?'}{urlencode({self._key_parameter: self._key.reveal()})}"
        try:
            answer = self._pool.request("GET", sent, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            # The library's own text quotes the whole URL, so it neither stays in the message nor in the cause.
            raise _failure(got=type(error).__name__) from None
        if answer.status != 200:
            raise _refusal(answer)
        data: bytes = answer.data
        return data


def _failure(*, got: str) -> RetryableError:
    return RetryableError(
        what="the vendor's answer cannot be used",
        got=got,
        allowed="a whole answer with a JSON object",
        fix="run it again later; what is already stored is not asked for again",
    )


def _refusal(answer: urllib3.BaseHTTPResponse) -> SourceError:
    said = redact(answer.data[:300].decode("utf-8", "replace")).strip()
    got = f"HTTP {answer.status}" + (f": {said}" if said else "")
    if answer.status in _BUSY:
        busy = RetryableError(
            what="the vendor is busy", got=f"HTTP {answer.status}", allowed="HTTP 200", fix="run it again later"
        )
        busy.wait = _seconds(answer.headers.get("Retry-After"))
        return busy
    refusal = SourceError(
        what="the vendor refuses the request",
        got=got,
        allowed="HTTP 200",
        fix="check the key, the subscription and the parameters; an old page's address expires, then start again",
    )
    refusal.status = answer.status
    return refusal


def _seconds(retry_after: str | None) -> float | None:
    """Return the wait a vendor asks for: seconds, or the moment after which to come back."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
