"""A download of many pages that can be killed at any page and loses or doubles nothing."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from conviction_kedro.sources._errors import RetryableError, SourceError
from conviction_kedro.sources._http import without_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conviction_kedro.sources._http import JsonClient
    from conviction_kedro.sources._storage import Storage

logger = logging.getLogger(__name__)

Identity = Callable[[dict[str, Any]], str]
_CURSOR = "cursor.json"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What came in, page by page, and what was kept.

    Parameters
    ----------
    pages : int
    received : int
        Records on all pages.
    duplicates : int
        Records that an earlier page had already given, unchanged.
    updated : int
        Records that an earlier page had given with other content; the later one is kept.
    kept : int
        ``received - duplicates - updated``.
    """

    pages: int
    received: int
    duplicates: int
    updated: int
    kept: int


@dataclass(frozen=True, kw_only=True)
class PagedDownload:
    """One query of a paged endpoint, stored page by page.

    Each page is written before the cursor that lies behind it, and under its own number: a process killed between the two
    writes the same page again, in the same place. The stored cursor holds no key.

    Parameters
    ----------
    client : JsonClient
    storage : Storage
        Where pages and cursor are kept.
    name : str
        Folder of this query, ``news/2024-01``.
    path : str
        Endpoint, ``/v2/reference/news``.
    parameters : mapping
        Query parameters; another query in the same folder is an error.
    identity : callable
        Gives the identity of a record, by which duplicates across pages are known.
    check_counts : bool
        Whether a page whose ``count`` differs from its number of results is taken for a cut page.
    offline : bool
        Whether only stored pages are read; a query that is not stored whole is then an error.
    clock : callable
        Gives the present moment in UTC.
    """

    client: JsonClient
    storage: Storage
    name: str
    path: str
    parameters: Mapping[str, object]
    identity: Identity
    check_counts: bool = True
    offline: bool = False
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def query(self) -> str:
        """Hash of the endpoint and its parameters."""
        given = {name: str(value) for name, value in self.parameters.items() if value is not None}
        return hashlib.sha256(json.dumps([self.path, given], sort_keys=True).encode()).hexdigest()

    def finished_since(self, moment: datetime) -> bool:
        """Return whether all pages are stored and the first of them was asked for at `moment` or later."""
        cursor = self._cursor()
        return bool(cursor.get("done")) and datetime.fromisoformat(cursor["started"]) >= moment

    def store_nothing(self) -> None:
        """Remember that the vendor knows nothing of this query, so that it is not asked again."""
        cursor = {"query": self.query, "started": self.clock().isoformat(), "pages": 0, "next": None, "done": True}
        self.storage.write(f"{self.name}/{_CURSOR}", json.dumps(cursor, sort_keys=True).encode())

    def finished(self) -> bool:
        """Return whether all pages are stored."""
        return bool(self._cursor().get("done"))

    def run(self, *, refresh: bool = False) -> tuple[list[dict[str, Any]], Counts]:
        """Fetch the pages that are not stored yet and return all records, in the vendor's order, once each.

        Parameters
        ----------
        refresh : bool
            Start again from the first page, for a query whose answer was still growing.

        Raises
        ------
        SourceError
            If a page cannot be had; the pages before it stay, and the next call goes on from there.
        """
        if refresh and not self.offline:
            # Before the first page is replaced: old pages behind a new one would be mixed.
            self.storage.delete(f"{self.name}/{_CURSOR}")
        cursor = self._cursor()
        pages, following = int(cursor.get("pages", 0)), cursor.get("next")
        started = cursor.get("started") or self.clock().isoformat()
        if self.offline and not cursor.get("done"):
            raise SourceError(
                what=f"{self.storage.uri(self.name)} is not there whole",
                got=f"{pages} pages, not finished" if cursor else "nothing",
                allowed="all pages of the query",
                fix="fetch it first: `kedro fetch`; see docs/how-to/polygon.md",
            )
        seen = {following}
        while not cursor.get("done"):
            page = self._page(pages, following)
            self.storage.write(self._page_name(pages), gzip.compress(json.dumps(page["results"]).encode(), mtime=0))
            pages, following = pages + 1, page["next_url"]
            if following in seen and following is not None:
                raise SourceError(
                    what=f"{self.name}: page {pages} points back to a page already read",
                    got=f"page {pages} of {self.path}",
                    allowed="pages that lead to an end",
                    fix="run it again; if it persists, ask for a shorter time span",
                )
            seen.add(following)
            cursor = {
                "query": self.query,
                "started": started,
                "pages": pages,
                "next": following,
                "done": following is None,
            }
            self.storage.write(f"{self.name}/{_CURSOR}", json.dumps(cursor, sort_keys=True).encode())
        return self._collect(pages)

    def _page(self, number: int, following: str | None) -> dict[str, Any]:
        """Return one page, asked for again when it says of itself that it is not whole."""

        def fetch() -> dict[str, Any]:
            page = self.client.get(following) if following else self.client.get(self.path, self.parameters)
            results, counted = page.get("results"), page.get("count")
            if results is None and page.get("status") == "OK" and not page.get("next_url"):
                results = []
            if isinstance(results, dict):
                results = [results]
            if not isinstance(results, list):
                raise _cut(got=f"no results, status {page.get('status')!r}", allowed="a list of results")
            if self.check_counts and isinstance(counted, int) and counted != len(results):
                raise _cut(got=f"{len(results)} results", allowed=f"{counted}, the page's own count")
            return {"results": results, "next_url": without_key(page.get("next_url") or "") or None}

        return self.client.retry.call(fetch, name=f"{self.name} page {number + 1}")

    def _cursor(self) -> dict[str, Any]:
        try:
            cursor: dict[str, Any] = json.loads(self.storage.read(f"{self.name}/{_CURSOR}"))
        except FileNotFoundError:
            return {}
        if cursor.get("query") != self.query:
            raise SourceError(
                what=f"{self.storage.uri(self.name)} holds the pages of another query",
                got=f"query {str(cursor.get('query'))[:12]}",
                allowed=f"query {self.query[:12]}",
                fix="delete that folder, or store this query elsewhere",
            )
        return cursor

    def _page_name(self, number: int) -> str:
        return f"{self.name}/page-{number:05d}.json.gz"

    def _collect(self, pages: int) -> tuple[list[dict[str, Any]], Counts]:
        kept: dict[str, dict[str, Any]] = {}
        received = duplicates = updated = 0
        for number in range(pages):
            for record in json.loads(gzip.decompress(self.storage.read(self._page_name(number)))):
                received += 1
                identity = self.identity(record)
                if identity in kept:
                    duplicates, updated = duplicates + (kept[identity] == record), updated + (kept[identity] != record)
                kept[identity] = record
        counts = Counts(pages=pages, received=received, duplicates=duplicates, updated=updated, kept=len(kept))
        logger.log(logging.DEBUG if self.offline else logging.INFO, "%s: %s", self.name, counts)
        return list(kept.values()), counts


def _cut(*, got: str, allowed: str) -> RetryableError:
    return RetryableError(
        what="a page is not whole", got=got, allowed=allowed, fix="run it again; stored pages are not asked for again"
    )
