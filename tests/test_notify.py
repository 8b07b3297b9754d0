"""The messenger: its own process, against a server that answers in several ways."""

import os
import socket

import pytest

from bulk_delete.notify import Hook, Letter, Messenger, Parcel
from tests.hooks import listening

ENVIRON = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": os.devnull}
CANARY = "canary-8d1c"


def hook(url: str) -> Hook:
    return Hook("notify.success (there)", url, "POST", '{"job": "nightly"}')


def deliver(*urls: str, letter: Letter | None = None) -> list[tuple[str, str]]:
    parcel = Parcel(tuple(map(hook, urls)), letter)
    return [(told.place, told.reason) for told in Messenger(parcel, ENVIRON).wait()]


def test_a_hook_is_called_once() -> None:
    """A hook that answers with 200 gets its body once, as JSON."""
    with listening() as hooks:
        assert deliver(f"{hooks.url}/ok") == []
    (call,) = hooks.called
    assert (call.method, call.path, call.body) == ("POST", "/ok", '{"job": "nightly"}')
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["User-Agent"].startswith("bulk-delete/")


@pytest.mark.parametrize(
    ("path", "calls", "told"),
    [
        ("flaky", 2, None),
        ("error", 2, "answered 500"),
        ("moved", 1, "answered 302: give the URL to which it leads"),
    ],
)
def test_it_is_tried_twice_where_that_may_help(path: str, calls: int, told: str | None) -> None:
    """A 500 is tried again once; a redirect is not followed, and told."""
    with listening() as hooks:
        found = deliver(f"{hooks.url}/{path}")
    assert found == ([("notify.success (there)", told)] if told else [])
    assert hooks.paths == [f"/{path}"] * calls


def test_nobody_listens() -> None:
    """A refused connection is told without the URL, whose path may be a secret."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/{CANARY}"
        ((_, reason),) = deliver(url)
    assert reason == "it could not be called: ClientConnectorError"


def test_a_hook_that_never_answers() -> None:
    """It is tried twice, for four seconds each, and told; the others are called meanwhile."""
    with listening() as hooks:
        mute = Hook("notify.failure (mute)", f"{hooks.url}/mute", "GET", "")
        found = Messenger(Parcel((mute, hook(f"{hooks.url}/ok"))), ENVIRON).wait()
    assert [(told.place, told.reason) for told in found] == [
        ("notify.failure (mute)", "no answer in 4 s")
    ]
    assert sorted(hooks.paths) == ["/mute", "/mute", "/ok"]


def test_at_the_deadline_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not delivered by then is told, and the process is killed."""
    monkeypatch.setattr("bulk_delete.notify.messenger.DEADLINE_S", 0.5)
    with listening() as hooks:
        messenger = Messenger(Parcel((hook(f"{hooks.url}/mute"),)), ENVIRON)
        ((_, reason),) = [(told.place, told.reason) for told in messenger.wait()]
    assert reason == "it took over 0.5 s"
    assert messenger._process
    assert messenger._process.returncode == -9


def test_apprise_sends_title_and_text() -> None:
    """Each of Apprise's URLs is sent to; what fails is named by its number and kind alone."""
    with listening() as hooks:
        good = hooks.url.replace("http", "json") + "/ok"
        bad = hooks.url.replace("http", "json") + f"/error/{CANARY}"
        letter = Letter((good, bad, f"nosuch://{CANARY}"), "Title", "Some text", "failure")
        found = deliver(letter=letter)
    assert found == [
        ("apprise 2 (json)", "Apprise could not deliver it; `apprise -vv URL` tells why"),
        ("apprise 3 (nosuch)", "Apprise does not know such a URL"),
    ]
    assert '"title": "Title"' in hooks.called[0].body
    assert '"message": "Some text"' in hooks.called[0].body


def test_it_does_not_have_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The messenger's process is started without the variables that hold the key or addresses."""
    monkeypatch.setattr("sys.executable", "/usr/bin/env")
    seen: list[dict[str, str]] = []

    def started(_words: list[str], **options: dict[str, str]) -> None:
        seen.append(options["env"])
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr("subprocess.Popen", started)
    secret = {"CEKURA_API_KEY": CANARY, "BULK_DELETE_NOTIFY_APPRISE": CANARY}
    parcel = Parcel((hook("http://127.0.0.1:1/"),))
    (told,) = Messenger(parcel, ENVIRON | secret).wait()
    assert told.reason == "no process could be started: No such file or directory"
    assert seen == [ENVIRON]
