"""Shows a start of a job to those who are not there: a metrics file, and notifications.

Nothing in here ends a job, or changes how it ends: what cannot be told goes to the log.
"""

import contextlib
import importlib.util
import platform
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bulk_delete import report
from bulk_delete.config import HookUrl, Notify
from bulk_delete.control import Refusal, stamp, write_refusal
from bulk_delete.errors import Bug, Ending, InvalidInput, JobBusy
from bulk_delete.folder import JobFolder
from bulk_delete.model import JOB_NAME
from bulk_delete.report.notices import Notice, Occasion
from bulk_delete.runner.courier import Courier
from bulk_delete.runner.intake import job_name
from bulk_delete.runner.job import Job
from bulk_delete.runner.keeping import Keeper
from bulk_delete.runner.order import Order
from bulk_delete.runner.watching import Watcher

if TYPE_CHECKING:
    from bulk_delete.notify import Kind, Messenger  # hardly anybody needs it

Log = Callable[[str, str, Mapping[str, Any]], None]
"""Takes level, event and fields."""

_STARTED = "started"
_INTERRUPTED = "interrupted before anything was sent"
_BUG = "a bug; what was sent is in the journal"
_KINDS: "Mapping[Occasion, Kind]" = {"start": "info", "success": "success", "failure": "failure"}


class Beacon:
    """Lit when a job is known, and to be told how the command ended.

    It is a context that learns why the command ended, where an exception ended it.
    """

    def __init__(self, order: Order, state: Path, log: Log, environ: Mapping[str, str]) -> None:
        name = job_name(order) or ""
        self._job = name if JOB_NAME.fullmatch(name) else None
        self._state = state
        self._settings = order.settings
        self._log = log
        self._environ = environ
        self._addresses: tuple[str, ...] = ()
        self._summary: report.Summary | None = None
        self._ending: Ending | None = None
        self._messenger: Messenger | None = None
        self._metrics: tuple[Keeper, Courier] | None = None
        if self._job and (file := order.settings.metrics.file):
            with self._harmless("metrics.unwritable", {"file": str(file)}):
                path = Path(str(file).replace("{job}", self._job))
                keeper = Keeper(path, self._job, order.settings.metrics.interval, log)
                self._metrics = keeper, Courier(keeper)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if isinstance(error, Ending):
            self._ending = error

    def check(self) -> None:
        """See to it that the notifications can be sent. Raises InvalidInput."""
        self._addresses = addresses_of(self._settings.notify)

    def started(self, job: Job, log: Log) -> Watcher | None:
        """Tell that sending begins; return what keeps the metrics meanwhile, if it is asked for.

        `log` takes what goes wrong until it is `finished`.
        """
        self._notify("start", _STARTED, None, "")
        if self._metrics is None:
            return None
        keeper, courier = self._metrics
        courier.hand(partial(keeper.begin, job, log))
        return courier

    def finished(self, summary: report.Summary | None) -> None:
        """Tell that nothing more is sent; there is no summary where it ended before a call."""
        self._summary = summary
        if self._metrics:
            keeper, courier = self._metrics
            courier.hand(partial(keeper.finish, summary, self._log))

    def ended(self, exit_code: int) -> None:
        """Tell how the command ended."""
        if self._job is None:
            return
        if self._metrics:
            keeper, courier = self._metrics
            courier.hand(partial(keeper.judge, exit_code))
            courier.close()
        outcome, reason = self._end(exit_code)
        if self._summary is None and exit_code and exit_code != JobBusy.exit_code:
            self._note(self._job, Refusal(stamp(), outcome, exit_code, reason))
        self._wait()  # so that a start is not heard after its end
        if exit_code not in self._settings.notify.quiet_codes:
            occasion: Occasion = "failure" if exit_code else "success"
            self._notify(occasion, reason, exit_code, outcome)
            self._wait()

    def _note(self, job: str, refusal: Refusal) -> None:
        """Leave word for `status`; a job that has no folder is none."""
        with contextlib.suppress(Ending):
            folder = JobFolder(self._state, job)
            if folder.path.is_dir():
                write_refusal(folder.refused, refusal)

    def _end(self, exit_code: int) -> tuple[str, str]:
        """Return the word and the reason for how the command ended."""
        summary, ending = self._summary, self._ending
        if ending:
            return ending.outcome, ending.reason
        if summary is None:
            return (
                (Bug.outcome, _BUG) if exit_code == Bug.exit_code else ("interrupted", _INTERRUPTED)
            )
        if exit_code == summary.exit_code:
            return summary.outcome, summary.reason
        return "incomplete", f"{summary.reason}; the command ended with {exit_code} after that"

    def _notify(self, occasion: Occasion, reason: str, code: int | None, outcome: str) -> None:
        notify = self._settings.notify
        url: HookUrl | None = getattr(notify, occasion)
        addresses = self._addresses if occasion in notify.apprise_at else ()
        if self._job is None or not (url or addresses):
            return
        with self._harmless("notify.failed", {"to": f"notify.{occasion}"}):
            from bulk_delete.notify import Hook, Letter, Messenger, Parcel  # noqa: PLC0415 - hardly anybody needs it

            notice = Notice(
                occasion, self._job, platform.node(), reason, outcome, code, self._summary
            )
            hooks: tuple[Hook, ...] = ()
            if url:
                name = f"notify.{occasion} ({url})"
                hooks = (Hook(name, url.url, notify.method, report.notice_json(notice)),)
            letter = None
            if addresses:
                title, text = report.notice_title(notice), report.notice_text(notice)
                letter = Letter(addresses, title, text, _KINDS[occasion])
            self._messenger = Messenger(Parcel(hooks, letter), self._environ)

    def _wait(self) -> None:
        messenger, self._messenger = self._messenger, None
        with self._harmless("notify.failed", {}):
            for failed in messenger.wait() if messenger else ():
                self._log("error", "notify.failed", {"to": failed.place, "reason": failed.reason})

    @contextlib.contextmanager
    def _harmless(self, event: str, fields: Mapping[str, str]) -> Iterator[None]:
        """Inside, whatever goes wrong is told, by its kind alone: its words may have an address."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - what is not the job's never ends it
            with contextlib.suppress(Exception):
                self._log("error", event, {**fields, "reason": type(error).__name__})


def addresses_of(notify: Notify) -> tuple[str, ...]:
    """Return Apprise's URLs. Raises InvalidInput where they or Apprise cannot be had."""
    if notify.apprise and notify.apprise_file:
        raise InvalidInput("notify.apprise and notify.apprise_file are both set; leave one out")
    urls = notify.apprise.urls if notify.apprise else ()
    if notify.apprise_file:
        urls = _listed(notify.apprise_file)
    if urls and importlib.util.find_spec("apprise") is None:
        raise InvalidInput(
            "notify.apprise needs Apprise, which is not installed; pip install apprise, beside "
            "this program (pipx inject bulk-delete apprise)"
        )
    return urls


def _listed(path: Path) -> tuple[str, ...]:
    """Read the URLs in a file, one a line. Raises InvalidInput."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidInput(f"notify.apprise_file {path}: cannot be read: {why}") from None
    urls = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not urls or not all("://" in url for url in urls):
        raise InvalidInput(f"notify.apprise_file {path}: give one URL a line, as mailto://…")
    return urls
