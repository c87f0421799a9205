"""Incremental, resumable copy of the vendor's flat files into the workspace's own bucket or disk."""

from __future__ import annotations

import hashlib
import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Literal

from conviction.errors import ParameterError
from conviction.market import exchange_sessions
from conviction.observer import SilentObserver
from conviction_kedro.sources._errors import SourceError
from conviction_kedro.sources._keys import CALENDARS, FlatFileKey, Granularity, Market, flat_file_folder
from conviction_kedro.sources._manifest import FlatFileRecord, Manifest
from conviction_kedro.sources._retry import RetryPolicy
from conviction_kedro.sources._sync_report import SyncReport
from conviction_kedro.sources._vendor_s3 import FlatFileSource, VendorObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from conviction.observer import Observer
    from conviction_kedro.sources._storage import Storage

logger = logging.getLogger(__name__)

MANIFEST_NAME = "manifest.jsonl"
_SAVE_EVERY_SECONDS = 2.0
_SAVE_EVERY_FILES = 25
# The vendor publishes a session's file during the next day: until then its absence says nothing.
_PUBLISHING_DELAY = timedelta(days=2)


@dataclass(kw_only=True)
class FlatFileSync:
    """Copies the flat files of one market and granularity, session by session, and keeps a manifest.

    A second run copies only what is new. A run killed at any moment goes on where it stopped: files appear whole or not
    at all, and a file that is in place but not yet in the manifest is taken back by its checksum. A file that the vendor
    has replaced is reported; what happens then is `when_replaced`.

    Parameters
    ----------
    source : FlatFileSource
        The vendor.
    destination : Storage
        The workspace's own place; the vendor's keys are kept below it.
    market : {"stocks", "options", "indices", "forex", "crypto"}
    granularity : {"day", "minute"}
    calendar : str, optional
        Calendar whose sessions are expected; XNYS for stocks, options and indices, 24/5 for forex, 24/7 for crypto.
    when_replaced : {"keep", "version"}
        ``keep`` leaves our copy as it is and reports the change, so that yesterday's result can be made again;
        ``version`` copies the new edition beside the old one and reads the new one from then on.
    concurrency : int
        Copies at a time.
    retry : RetryPolicy
        For single requests.
    observer : Observer
        Told of each file.
    clock : callable
        Gives the present moment in UTC; for `copied_at` and for telling a file that is late from one that is missing.

    Examples
    --------
    >>> from conviction_kedro.sources import Storage
    >>> source = FlatFileSource({"key": "env:MASSIVE_S3_KEY", "secret": "env:MASSIVE_S3_SECRET"})
    >>> sync = FlatFileSync(source=source, destination=Storage("data/01_raw/flat_files"), market="stocks", granularity="day")
    >>> sync.folder, sync.calendar
    ('us_stocks_sip/day_aggs_v1', 'XNYS')
    """

    source: FlatFileSource
    destination: Storage
    market: Market
    granularity: Granularity
    calendar: str = ""
    when_replaced: Literal["keep", "version"] = "keep"
    concurrency: int = 4
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    observer: Observer = field(default_factory=SilentObserver)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self.folder = flat_file_folder(self.market, self.granularity)
        self.calendar = self.calendar or CALENDARS[self.market]
        if self.when_replaced not in ("keep", "version"):
            raise ParameterError.from_unknown_name(
                kind="when_replaced", name=self.when_replaced, known=("keep", "version")
            )

    def run(self, first: date, last: date) -> SyncReport:
        """Copy the sessions from `first` to `last`, both included.

        Returns
        -------
        SyncReport
            What was copied, left alone, replaced by the vendor, missing, late or failed. Failures of single files do not
            stop the others; `SyncReport.check` turns them into an error.

        Raises
        ------
        SourceError
            If the vendor refuses the keys or cannot be reached at all.
        """
        report = SyncReport(folder=self.folder, first=first, last=last)
        manifest = Manifest(self.destination, f"{self.folder}/{MANIFEST_NAME}")
        listed = self._list(first, last)
        stored = self.destination.sizes(self.folder) if self.destination.exists(self.folder) else {}
        tasks = self._plan(listed, manifest=manifest, stored=stored, report=report)
        self._copy_all(tasks, manifest, report)
        logger.info("%s", report.summary())
        return report

    def _list(self, first: date, last: date) -> dict[str, VendorObject]:
        listed: dict[str, VendorObject] = {}
        for month in _months(first, last):
            prefix = f"{self.folder}/{month}/"
            found = self.retry.call(partial(self.source.list, prefix), name=f"listing {prefix}")
            listed.update({item.key: item for item in found})
        return listed

    def _plan(
        self, listed: dict[str, VendorObject], *, manifest: Manifest, stored: dict[str, int], report: SyncReport
    ) -> list[_Task]:
        """Sort every expected session into what is to be copied and what is only to be reported."""
        tasks: list[_Task] = []
        current = manifest.current()
        sessions = exchange_sessions(self.calendar, report.first, report.last).to_list()
        expected = {str(FlatFileKey(market=self.market, granularity=self.granularity, session=s)): s for s in sessions}
        for key, session in expected.items():
            offered, known = listed.get(key), current.get(key)
            in_place = known is not None and stored.get(known.stored) == known.size
            if offered is None:
                report.note_absent(session, copied=in_place, late=self._is_late(session))
            elif known is None:
                tasks.append(_Task(offered, session, key, "copied", adopt=stored.get(key) == offered.size))
            elif known.etag != offered.etag:
                report.replaced.append((session, known.etag, offered.etag))
                if self.when_replaced == "version":
                    name = FlatFileKey.versioned(_parsed(key), offered.etag)
                    tasks.append(_Task(offered, session, name, "versioned"))
                elif not in_place:
                    report.failed[session] = (
                        "our copy is gone and the vendor has replaced the file; use when_replaced=version"
                    )
            elif not in_place:
                tasks.append(_Task(offered, session, known.stored, "restored"))
            else:
                report.unchanged.append(session)
        for key in sorted(set(listed) - set(expected)):
            stranger = FlatFileKey.parse(key)
            if stranger is None or report.first <= stranger.session <= report.last:
                report.unexpected.append(key)
        return tasks

    def _is_late(self, session: date) -> bool:
        return self.clock().date() - session >= _PUBLISHING_DELAY

    def _copy_all(self, tasks: list[_Task], manifest: Manifest, report: SyncReport) -> None:
        task_name = f"copy {self.folder}"
        self.observer.start(task_name, len(tasks))
        saved_at, unsaved = time.monotonic(), 0
        pool = ThreadPoolExecutor(max_workers=self.concurrency, thread_name_prefix="flat-files")
        try:
            waiting: dict[Future[tuple[FlatFileRecord, bool]], _Task] = {pool.submit(self._copy, t): t for t in tasks}
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    task = waiting.pop(future)
                    try:
                        record, adopted = future.result()
                    except SourceError as error:
                        report.failed[task.session] = str(error)
                    else:
                        manifest.add(record)
                        unsaved += 1
                        report.note_copied(task.session, "adopted" if adopted else task.outcome, record.size)
                    self.observer.advance(task_name, note=task.session.isoformat())
                if unsaved >= _SAVE_EVERY_FILES or (unsaved and time.monotonic() - saved_at > _SAVE_EVERY_SECONDS):
                    manifest.save()
                    saved_at, unsaved = time.monotonic(), 0
        finally:
            # Also on Ctrl-C: what is already in place is remembered, what has not begun is not begun.
            pool.shutdown(wait=True, cancel_futures=True)
            if unsaved:
                manifest.save()
            self.observer.finish(task_name)

    def _copy(self, task: _Task) -> tuple[FlatFileRecord, bool]:
        offered = task.offered
        if task.adopt and (digest := self._digest_if_same(task.name, offered.etag)):
            return self._record(task, digest), True
        digests: list[str] = []

        def fill(handle: BinaryIO) -> None:
            digests.append(
                self.retry.call(partial(self.source.download, offered, handle), name=f"copy of {offered.key}")
            )

        self.destination.write_from(task.name, fill)
        return self._record(task, digests[-1]), False

    def _digest_if_same(self, name: str, etag: str) -> str | None:
        """Return the SHA-256 of a stored file if it is the vendor's edition; only single-part ETags are checksums."""
        content = self.destination.read(name)
        same = hashlib.md5(content, usedforsecurity=False).hexdigest() == etag
        return hashlib.sha256(content).hexdigest() if same else None

    def _record(self, task: _Task, digest: str) -> FlatFileRecord:
        return FlatFileRecord(
            key=task.offered.key,
            session=task.session.isoformat(),
            etag=task.offered.etag,
            size=task.offered.size,
            sha256=digest,
            copied_at=self.clock().isoformat(timespec="microseconds"),
            vendor_modified=task.offered.modified,
            stored=task.name,
        )


@dataclass(frozen=True)
class _Task:
    offered: VendorObject
    session: date
    name: str
    outcome: Literal["copied", "versioned", "restored"]
    adopt: bool = False


def _parsed(key: str) -> FlatFileKey:
    parsed = FlatFileKey.parse(key)
    if parsed is None:  # pragma: no cover - keys come from FlatFileKey itself
        raise ParameterError(what="not a flat file's key", got=key, allowed="PREFIX/day_aggs_v1/...", fix="check it")
    return parsed


def _months(first: date, last: date) -> list[str]:
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    places = [first.year * 12 + first.month - 1 + i for i in range(count)]
    return [f"{place // 12:04d}/{place % 12 + 1:02d}" for place in places]
