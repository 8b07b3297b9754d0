"""The sandbox over HTTP: the contract as its owner documents it, and every fault switch."""

import contextlib
import http.client
import io
import json
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from cekura import APIError, AuthenticationError, Cekura, NotFoundError, RateLimitError
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_delete.cli.app import app
from bulk_delete.cli.rehearsal import faults_of
from bulk_delete.errors import InvalidInput
from bulk_delete.model import MAX_ID, Pair
from bulk_delete.sandbox import CallLog, Faults, Outage, Server, World, in_background, serve
from bulk_delete.sandbox.limits import Presence, Queue, RateLimit, TokenBucket
from tests.conftest import KEY, Command, Sandbox

Open = Callable[..., contextlib.AbstractContextManager[Sandbox]]

ALIASES = [
    (version, kind, slash)
    for version in ("v1", "v2")
    for kind in ("", "-external")
    for slash in ("", "/")
]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the proxies of whoever runs the tests: the vendor's SDK would use them."""
    for name in ("http", "https", "all"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    box: Sandbox | str,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    kind: str = "application/json",
    key: str | None = KEY,
    request_id: str = "r",
) -> Answer:
    """Make one request on a connection of its own."""
    url = box if isinstance(box, str) else box.url
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    headers = {"X-Request-ID": request_id}
    if key is not None:
        headers["X-CEKURA-API-KEY"] = key
    if body is not None:
        headers["Content-Type"] = kind
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def delete(box: Sandbox | str, result_id: int, run_ids: Any, request_id: str = "r") -> Answer:
    path = f"/test_framework/v1/results/{result_id}/delete_runs/"
    return ask(box, "POST", path, json.dumps({"run_ids": run_ids}).encode(), request_id=request_id)


def read(box: Sandbox, path: str) -> Any:
    answer = ask(box, "GET", f"/test_framework/v2/{path}")
    assert answer.status == 200
    return answer.json


def small() -> World:
    """Make a world of three runs in result 1 and one in result 2."""
    return World.of([Pair(1, 11), Pair(1, 12), Pair(1, 13), Pair(2, 21)])


# Deleting


def test_a_deletion_takes_out_these_runs_and_no_other(sandbox: Open) -> None:
    """The runs that were named are gone, the others stay, and the reply is a 204 without body."""
    with sandbox(small()) as box:
        answer = delete(box, 1, [11, 13])
        assert (answer.status, answer.body) == (204, b"")
        assert box.left == {Pair(1, 12), Pair(2, 21)}


@pytest.mark.parametrize(("version", "kind", "slash"), ALIASES)
def test_every_spelling_of_the_path_deletes(
    sandbox: Open, version: str, kind: str, slash: str
) -> None:
    """v1 and v2, the alias, with and without the last slash: all are the same endpoint."""
    path = f"/test_framework/{version}/results{kind}/1/delete_runs{slash}"
    with sandbox(small()) as box:
        assert ask(box, "POST", path, b'{"run_ids": [11]}').status == 204
        assert Pair(1, 11) not in box.left


FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=cut"
PART = b'--cut\r\nContent-Disposition: form-data; name="run_ids"\r\n\r\n%s\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"run_ids": [11, 13]}'),
        ("application/json; charset=utf-8", b' {"other": 1, "run_ids": [11, 13]} '),
        (FORM, b"run_ids=11&run_ids=13"),
        (MULTIPART, PART % b"11" + PART % b"13" + b"--cut--\r\n"),
    ],
    ids=["json", "json with charset", "form", "multipart"],
)
def test_each_documented_kind_of_body_deletes(sandbox: Open, kind: str, body: bytes) -> None:
    """JSON, form and multipart bodies say the same."""
    with sandbox(small()) as box:
        path = "/test_framework/v1/results/1/delete_runs/"
        assert ask(box, "POST", path, body, kind=kind).status == 204
        assert box.left == {Pair(1, 12), Pair(2, 21)}


def test_another_kind_of_body_is_refused(sandbox: Open) -> None:
    """A body of a kind that the contract does not name is a 415 and deletes nothing."""
    with sandbox(small()) as box:
        path = "/test_framework/v1/results/1/delete_runs/"
        assert ask(box, "POST", path, b'{"run_ids": [11]}', kind="text/plain").status == 415
        assert box.left == set(small().pairs())


def test_a_hundred_ids_are_the_most(sandbox: Open) -> None:
    """A hundred ids are accepted, one more is a 400 and deletes none of them."""
    world = World.of(Pair(1, run) for run in range(1, 301))
    with sandbox(world) as box:
        assert delete(box, 1, list(range(1, 101))).status == 204
        answer = delete(box, 1, list(range(101, 202)))
        assert answer.status == 400
        assert "100" in answer.json["run_ids"][0]
        assert box.left == {Pair(1, run) for run in range(101, 301)}


@pytest.mark.parametrize(
    "run_ids",
    [
        [],
        None,
        11,
        "11",
        {"11": 1},
        [True],
        [11, True],
        ["11"],
        [11, None],
        [11.0],
        [11.5],
        [[11]],
        [0],
        [-11],
        [MAX_ID + 1],
    ],
    ids=str,
)
def test_ids_that_are_none_are_refused(sandbox: Open, run_ids: Any) -> None:
    """A missing, empty or odd list of ids is a 400 about `run_ids`; nothing is deleted."""
    pairs = {*small().pairs(), Pair(1, 1)}  # run 1 is what `true` must not mean
    with sandbox(World.of(pairs), Faults(unknown_run="204")) as box:
        answer = delete(box, 1, run_ids)
        assert answer.status == 400
        [(name, [message])] = answer.json.items()
        assert name == "run_ids"
        assert message
        assert box.left == pairs
        assert box.world.evaluations == {}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("application/json", b'{"run_id": [11]}'),
        ("application/json", b"[11]"),
        ("application/json", b"null"),
        ("application/json", b""),
        ("application/json", b'{"run_ids": [11]'),
        ("application/json", b"\xff"),
        (FORM, b""),
        (FORM, b"run_ids="),
        (FORM, b"run_ids=11,13"),
        (FORM, b"run_ids=eleven"),
        (FORM, "run_ids=\N{ARABIC-INDIC DIGIT ONE}".encode()),
        (MULTIPART, b"--cut--\r\n"),
        (MULTIPART, b"no part in it"),
        ("multipart/form-data", b"no boundary"),
    ],
    ids=lambda value: value.decode("latin-1") if isinstance(value, bytes) else value[:9],
)
def test_a_body_that_is_wrong_is_refused(sandbox: Open, kind: str, body: bytes) -> None:
    """A body that names no runs or cannot be read is a 400, and nothing is deleted."""
    with sandbox(small()) as box:
        path = "/test_framework/v1/results/1/delete_runs/"
        answer = ask(box, "POST", path, body, kind=kind)
        assert answer.status == 400
        assert isinstance(answer.json, dict)
        assert box.left == set(small().pairs())


def test_an_unknown_result_is_a_404(sandbox: Open) -> None:
    """A result that is not there is a 404 with its detail."""
    with sandbox(small()) as box:
        answer = delete(box, 3, [11])
        assert answer.status == 404
        assert "Result" in answer.json["detail"]
        assert box.left == set(small().pairs())


def test_a_result_stays_after_its_last_run(sandbox: Open) -> None:
    """A result whose runs are all deleted is empty, not unknown."""
    with sandbox(small()) as box:
        assert delete(box, 2, [21]).status == 204
        assert read(box, "results/2/")["runs"] == {}
        assert delete(box, 2, [21]).status == 204


def test_every_accepted_call_makes_a_re_evaluation(sandbox: Open) -> None:
    """A result is re-evaluated once per accepted call, not for refused ones or other results."""
    with sandbox(small()) as box:
        delete(box, 1, [11])
        delete(box, 1, [12, 13])
        delete(box, 1, [11])
        delete(box, 1, [])
        delete(box, 1, [999])
        assert box.world.evaluations == {1: 3}


# Who may ask


@pytest.mark.parametrize("key", [None, "", "  ", "wrong", KEY + "x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_key_that_is_missing_or_wrong_is_a_401(
    sandbox: Open, key: str | None, method: str
) -> None:
    """Where one key is asked for, every other is rejected, and nothing is deleted."""
    path = "/test_framework/v1/results/1/" + ("delete_runs/" if method == "POST" else "")
    body = b'{"run_ids": [11]}' if method == "POST" else None
    with sandbox(small(), key=KEY) as box:
        answer = ask(box, method, path, body, key=key)
        assert answer.status == 401
        assert answer.json["detail"]
        assert box.left == set(small().pairs())


def test_the_right_key_is_accepted(sandbox: Open) -> None:
    """The key that is asked for opens reading and deleting."""
    with sandbox(small(), key=KEY) as box:
        assert ask(box, "GET", "/test_framework/v2/results/1/").status == 200
        assert delete(box, 1, [11]).status == 204


def test_without_a_set_key_any_will_do_but_one_there_must_be(sandbox: Open) -> None:
    """A sandbox without a key of its own takes any key, but not none."""
    with sandbox(small()) as box:
        path = "/test_framework/v2/results/1/"
        assert ask(box, "GET", path, key="anything").status == 200
        assert ask(box, "GET", path, key=None).status == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/test_framework/v1/results/1/delete_runs/", 405),
        ("PUT", "/test_framework/v1/results/1/delete_runs/", 405),
        ("DELETE", "/test_framework/v1/results/1/", 405),
        ("DELETE", "/test_framework/v1/runs/11/", 405),
        ("POST", "/test_framework/v2/runs/", 405),
        ("GET", "/", 404),
        ("GET", "/test_framework/v3/results/", 404),
        ("GET", "/test_framework/v1/results/one/", 404),
        ("POST", "/test_framework/v1/results/-1/delete_runs/", 404),
        ("POST", "/test_framework/v1/results/1/delete_runs//", 404),
        ("POST", "/test_framework/v1/results/bulk_delete/", 404),
        ("GET", "/test_framework/v2/results/3/", 404),
        ("GET", "/test_framework/v2/runs/999/", 404),
    ],
)
def test_everything_else_is_refused_in_the_api_s_words(
    sandbox: Open, method: str, path: str, status: int
) -> None:
    """Other methods are a 405 and other paths a 404, both with a detail; nothing is deleted."""
    with sandbox(small()) as box:
        answer = ask(box, method, path, b"{}" if method in {"POST", "PUT"} else None)
        assert answer.status == status
        assert answer.json["detail"]
        assert box.left == set(small().pairs())


# What the contract leaves open


def test_a_deleted_run_is_passed_over_unless_told_otherwise(sandbox: Open) -> None:
    """By default a call with a deleted run is a 204 and deletes the others."""
    with sandbox(small()) as box:
        delete(box, 1, [11])
        assert delete(box, 1, [11, 12]).status == 204
        assert box.left == {Pair(1, 13), Pair(2, 21)}


@pytest.mark.parametrize("status", ["400", "404"])
def test_a_deleted_run_can_fail_the_call(sandbox: Open, status: str) -> None:
    """Told so, a call with a deleted run is refused as a whole."""
    faults = Faults(deleted_run=status)  # type: ignore[arg-type]  # one of the Literal's words
    with sandbox(small(), faults) as box:
        assert delete(box, 1, [11]).status == 204
        answer = delete(box, 1, [11, 12])
        assert str(answer.status) == status
        assert answer.json
        assert box.left == {Pair(1, 12), Pair(1, 13), Pair(2, 21)}
        assert box.world.evaluations == {1: 1}


@pytest.mark.parametrize("stranger", [999, 21], ids=["no run", "run of another result"])
def test_an_unknown_run_fails_the_call_unless_told_otherwise(sandbox: Open, stranger: int) -> None:
    """By default a call with a run that is not in the result is a 400 and deletes nothing."""
    with sandbox(small()) as box:
        answer = delete(box, 1, [11, stranger])
        assert answer.status == 400
        assert str(stranger) in answer.json["run_ids"][0]
        assert box.left == set(small().pairs())


@pytest.mark.parametrize("stranger", [999, 21], ids=["no run", "run of another result"])
def test_an_unknown_run_can_be_passed_over(sandbox: Open, stranger: int) -> None:
    """Told so, the call deletes the result's own runs, and never those of another result."""
    with sandbox(small(), Faults(unknown_run="204")) as box:
        assert delete(box, 1, [11, stranger]).status == 204
        assert box.left == {Pair(1, 12), Pair(1, 13), Pair(2, 21)}


def test_an_unknown_run_can_be_a_404(sandbox: Open) -> None:
    """Told so, a run that is not in the result is a 404 that speaks of the run."""
    with sandbox(small(), Faults(unknown_run="404")) as box:
        answer = delete(box, 1, [11, 999])
        assert answer.status == 404
        assert "Run" in answer.json["detail"]
        assert box.left == set(small().pairs())


# Reading back


@pytest.mark.parametrize(("version", "kind", "slash"), ALIASES)
def test_every_spelling_of_the_paths_reads(
    sandbox: Open, version: str, kind: str, slash: str
) -> None:
    """The lists, one of each and the bulk read are there in v1 and v2 and under the aliases."""
    base = f"/test_framework/{version}"
    with sandbox(small()) as box:
        runs = ask(box, "GET", f"{base}/runs{kind}{slash}").json
        results = ask(box, "GET", f"{base}/results{kind}{slash}").json
        assert (runs["count"], results["count"]) == (4, 2)
        assert ask(box, "GET", f"{base}/results{kind}/2{slash}").json["id"] == 2
        assert ask(box, "GET", f"{base}/runs{kind}/21{slash}").json["result_id"] == 2
        [run] = ask(box, "GET", f"{base}/runs{kind}/bulk{slash}?run_ids=21").json
        assert run["id"] == 21


def test_a_result_shows_its_runs_by_id(sandbox: Open) -> None:
    """A result has its live runs keyed by their ids as strings, and their number."""
    with sandbox(small()) as box:
        delete(box, 1, [12])
        found = read(box, "results/1/")
    assert found["id"] == 1
    assert found["total_runs_count"] == 2
    assert found["status"] == "completed"
    assert set(found["runs"]) == {"11", "13"}
    assert found["runs"]["11"]["id"] == 11


def test_deleted_runs_are_left_out_everywhere(sandbox: Open) -> None:
    """A deleted run is in no list, in no bulk read, and a 404 by itself."""
    with sandbox(small()) as box:
        delete(box, 1, [11])
        assert ask(box, "GET", "/test_framework/v2/runs/11/").status == 404
        assert [run["id"] for run in read(box, "runs/bulk/?run_ids=11,12")] == [12]
        assert {run["id"] for run in read(box, "runs/")["results"]} == {12, 13, 21}
        assert read(box, "runs/?result_id=1")["count"] == 2
        assert "11" not in read(box, "results/1/")["runs"]


def test_a_bulk_read_gives_whole_runs(sandbox: Open) -> None:
    """The bulk read gives the runs asked for, with all their fields, from any result."""
    with sandbox(small()) as box:
        found = read(box, "runs/bulk/?run_ids=21,11,999")
    assert {(run["id"], run["result_id"]) for run in found} == {(21, 2), (11, 1)}
    fields = {"status", "success", "transcript", "evaluation", "metadata", "timestamp"}
    assert all(fields <= run.keys() for run in found)


@pytest.mark.parametrize(
    ("scope", "ids"),
    [
        ("result_id=2", [21]),
        ("result_id=9", []),
        ("project_id=7", [11, 21]),
        ("agent_id=42", [11, 21]),
        ("agent_id=1", []),
    ],
)
def test_a_bulk_read_can_be_scoped(sandbox: Open, scope: str, ids: list[int]) -> None:
    """With a scope, runs outside of it are left out of the bulk read."""
    with sandbox(small()) as box:
        assert [run["id"] for run in read(box, f"runs/bulk/?run_ids=11,21&{scope}")] == ids


@pytest.mark.parametrize(
    "query",
    ["", "run_ids=", "run_ids=%5B11,12%5D", "run_ids=11,,12", "run_ids=a", "run_ids=1.5", "ids=1"],
)
def test_a_bulk_read_takes_commas_only(sandbox: Open, query: str) -> None:
    """Anything but comma-separated integers, a JSON array for one, is a 400 in these words."""
    with sandbox(small()) as box:
        answer = ask(box, "GET", f"/test_framework/v2/runs/bulk/?{query}")
    assert answer.status == 400
    assert b"run_ids must be comma-separated integers" in answer.body


def walk(box: Sandbox, path: str) -> list[dict[str, Any]]:
    """Follow the `next` links to the end."""
    found: list[dict[str, Any]] = []
    link: str | None = f"{box.url}/test_framework/v2/{path}"
    while link:
        assert link.startswith(box.url)
        page = ask(box, "GET", link.removeprefix(box.url)).json
        found += page["results"]
        link = page["next"]
    return found


def test_the_pages_of_a_list_join_up(sandbox: Open) -> None:
    """Following the next links gives each run once, and the count is that of all."""
    world = World.made(results=10, runs=95, seed=2)
    with sandbox(world) as box:
        found = [run["id"] for run in walk(box, "runs/?page_size=20&ordering=id")]
        first, last = read(box, "runs/?page_size=20"), read(box, "runs/?page_size=20&page=5")
    assert found == world.live_run_ids()
    assert (first["count"], last["count"]) == (95, 95)
    assert (len(first["results"]), len(last["results"])) == (20, 15)
    assert first["previous"] is None
    assert last["next"] is None
    assert "page=4" in last["previous"]
    assert "page_size=20" in last["previous"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page=1", 200),
        ("page=2", 404),
        ("page=0", 404),
        ("page=-1", 404),
        ("page=x", 404),
        ("page_size=0", 404),
        ("page_size=100000", 200),
    ],
)
def test_a_page_that_is_not_there_is_a_404(sandbox: Open, query: str, status: int) -> None:
    """Pages count from 1 to the last one; there is no other."""
    with sandbox(small()) as box:
        assert ask(box, "GET", f"/test_framework/v2/runs/?{query}").status == status
        assert ask(box, "GET", f"/test_framework/v2/results/?{query}").status == status


def test_an_empty_list_has_one_empty_page(sandbox: Open) -> None:
    """A list of nothing is a page with no entries, not a 404."""
    with sandbox(World()) as box:
        empty: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}
        assert read(box, "runs/") == empty
        assert read(box, "results/") == empty


@pytest.mark.parametrize("field", ["id", "result_id", "timestamp"])
def test_a_list_is_ordered_as_asked(sandbox: Open, field: str) -> None:
    """A list is in ascending order of the field, and the other way round with a minus."""
    with sandbox(World.made(results=7, runs=60, seed=3)) as box:
        up = walk(box, f"runs/?ordering={field}&page_size=25")
        down = walk(box, f"runs/?ordering=-{field}&page_size=25")
    values = [run[field] for run in up]
    assert values == sorted(values)
    assert [run[field] for run in down] == values[::-1]
    assert len({run["id"] for run in up}) == len({run["id"] for run in down}) == 60


def test_an_ordering_that_is_none_is_refused(sandbox: Open) -> None:
    """An unknown ordering is a 400 and not passed over."""
    with sandbox(small()) as box:
        assert ask(box, "GET", "/test_framework/v2/runs/?ordering=colour").status == 400


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("result_id=1", {11, 12, 13}),
        ("result_id=2", {21}),
        ("result_id=3", set()),
        ("agent_id=42", {11, 12, 13, 21}),
        ("agent_id=43", set()),
        ("project_id=7", {11, 12, 13, 21}),
        ("project_id=8", set()),
        ("status=completed", {11, 12, 13, 21}),
        ("status=failed", set()),
        ("status=completed&result_id=2&project_id=7", {21}),
    ],
)
def test_a_list_is_filtered_as_asked(sandbox: Open, query: str, ids: set[int]) -> None:
    """The filters of the list narrow it, and all of them apply."""
    with sandbox(small()) as box:
        page = read(box, f"runs/?{query}")
    assert {run["id"] for run in page["results"]} == ids
    assert page["count"] == len(ids)


# The data


def test_the_same_seed_makes_the_same_world() -> None:
    """Made data depends on the seed alone."""
    world = World.made(results=40, runs=600, seed=5)
    assert world.pairs() == World.made(results=40, runs=600, seed=5).pairs()
    assert world.pairs() != World.made(results=40, runs=600, seed=6).pairs()


@pytest.mark.parametrize(("results", "runs"), [(1, 1), (1, 500), (40, 600), (40, 40), (10, 3)])
def test_made_data_has_the_size_asked_for(results: int, runs: int) -> None:
    """There are as many runs and results as asked for; no run is in two, none is empty."""
    world = World.made(results, runs, seed=5)
    pairs = world.pairs()
    assert len(pairs) == len({pair.run_id for pair in pairs}) == runs
    assert len(world.live) == min(results, runs)
    assert all(world.live.values())


def test_made_results_are_uneven() -> None:
    """Some results are many times as large as most: what makes a long tail shows in rehearsal."""
    sizes = sorted(len(runs) for runs in World.made(results=100, runs=5000, seed=1).live.values())
    assert sizes[-1] > 5 * sizes[50]


# Faults


def test_latency_is_waited_before_each_reply(sandbox: Open) -> None:
    """Every reply takes at least the latency."""
    with sandbox(small(), Faults(latency_s=0.2)) as box:
        started = time.monotonic()
        assert delete(box, 1, [11]).status == 204
        assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("faults", "fault", "status", "applied"),
    [
        (Faults(error_before=1.0), "error_before", 500, ()),
        (Faults(error_after=1.0), "error_after", 500, (11, 12)),
        (Faults(reset_before=1.0), "reset_before", None, ()),
        (Faults(reset_after=1.0), "reset_after", None, (11, 12)),
    ],
    ids=["error_before", "error_after", "reset_before", "reset_after"],
)
def test_a_call_fails_before_or_after_its_effect(
    sandbox: Open, faults: Faults, fault: str, status: int | None, applied: tuple[int, ...]
) -> None:
    """An error or a reset comes before the runs are deleted or after, and the log says which."""
    with sandbox(small(), faults) as box:
        if status is None:
            with pytest.raises(ConnectionError):
                delete(box, 1, [11, 12], "id-1")
        else:
            answer = delete(box, 1, [11, 12], "id-1")
            assert answer.status == status
            assert answer.json["detail"]
        assert box.left == set(small().pairs()) - {Pair(1, run) for run in applied}
        assert box.world.evaluations == ({1: 1} if applied else {})
        [call] = box.calls
    assert (call.request_id, call.result_id, call.run_ids) == ("id-1", 1, (11, 12))
    assert (call.status, call.applied, call.fault) == (status, applied, fault)


@pytest.mark.parametrize("faults", [Faults(error_after=1.0), Faults(reset_after=1.0)])
def test_a_refused_call_has_no_effect_to_fail_after(sandbox: Open, faults: Faults) -> None:
    """A call that is refused by the contract is refused plainly, without a fault."""
    with sandbox(small(), faults) as box:
        assert delete(box, 1, [999]).status == 400
        assert delete(box, 3, [11]).status == 404
        assert [(call.status, call.fault) for call in box.calls] == [(400, None), (404, None)]


def test_faults_do_not_touch_reading(sandbox: Open) -> None:
    """Errors and resets happen to delete calls alone."""
    with sandbox(small(), Faults(error_before=0.5, reset_before=0.5)) as box:
        for _ in range(10):
            assert read(box, "runs/")["count"] == 4


def fates(sandbox: Open, faults: Faults, seed: int, calls: int) -> list[str]:
    world = World.of([Pair(1, run) for run in range(1, calls + 1)])
    with sandbox(world, faults, seed=seed) as box:
        for run in range(1, calls + 1):
            with contextlib.suppress(ConnectionError):  # a reset, which the log has
                delete(box, 1, [run])
        return [call.fault or str(call.status) for call in box.calls]


def test_shares_are_those_of_the_calls_and_the_seed_repeats_them(sandbox: Open) -> None:
    """Each fault hits its share of the calls, and the same seed hits the same calls."""
    faults = Faults(error_before=0.2, error_after=0.1, reset_before=0.1, reset_after=0.2)
    first = fates(sandbox, faults, 1, 300)
    assert len(first) == 300
    for fate, share in (("error_before", 60), ("error_after", 30), ("reset_after", 60)):
        assert share * 0.6 < first.count(fate) < share * 1.5
    assert 120 * 0.7 < first.count("204") < 120 * 1.3
    assert fates(sandbox, faults, 1, 100) == first[:100]
    assert fates(sandbox, faults, 2, 100) != first[:100]


RARELY = 0.02
"""One call in fifty seconds: the second is one too many, however slow the machine."""


def test_one_call_too_many_is_a_429_without_effect(sandbox: Open) -> None:
    """Beyond the rate a call is throttled, and what it asked for is not done."""
    runs = range(1, 51)
    with sandbox(World.of(Pair(1, run) for run in runs), Faults(rate=2)) as box:
        statuses = {run: delete(box, 1, [run]).status for run in runs}
        assert statuses[1] == statuses[2] == 204
        assert set(statuses.values()) == {204, 429}
        assert box.left == {Pair(1, run) for run in runs if statuses[run] == 429}


def test_the_rate_counts_reading_too(sandbox: Open) -> None:
    """The limit is one for all calls of the API."""
    with sandbox(small(), Faults(rate=RARELY)) as box:
        assert ask(box, "GET", "/test_framework/v2/runs/").status == 200
        assert ask(box, "GET", "/test_framework/v2/runs/").status == 429
        assert delete(box, 1, [11]).status == 429


def test_a_429_tells_the_seconds_to_wait(sandbox: Open) -> None:
    """By default Retry-After is a number of seconds."""
    with sandbox(World.of(Pair(1, run) for run in range(1, 51)), Faults(rate=1)) as box:
        refused = delete(box, 1, [1])
        while refused.status != 429:
            refused = delete(box, 1, [1])
        assert refused.headers["Retry-After"] == "1"
        assert "throttled" in refused.json["detail"]


def test_a_429_can_tell_a_date(sandbox: Open) -> None:
    """Told so, Retry-After is an HTTP date that lies after the reply's own."""
    with sandbox(small(), Faults(rate=RARELY, retry_after="date")) as box:
        delete(box, 1, [11])
        refused = delete(box, 1, [12])
    until = parsedate_to_datetime(refused.headers["Retry-After"])
    now = parsedate_to_datetime(refused.headers["Date"])
    assert refused.status == 429
    assert refused.headers["Retry-After"].endswith(" GMT")
    assert 40 < (until - now).total_seconds() <= 51


def test_a_429_can_keep_silent(sandbox: Open) -> None:
    """Told so, a 429 has no Retry-After."""
    with sandbox(small(), Faults(rate=RARELY, retry_after="none")) as box:
        delete(box, 1, [11])
        refused = delete(box, 1, [12])
    assert refused.status == 429
    assert refused.headers["Retry-After"] is None


@pytest.mark.parametrize("rate", [0.5, 1.0, 10.0, 250.0])
def test_the_limit_lets_its_rate_through_and_no_more(rate: float) -> None:
    """Asked all the time, the limit accepts about its rate, and never more in a second."""
    now = 0.0
    limit = RateLimit(Faults(rate=rate), lambda: now, lambda: 0.0)
    step = 1 / (rate * 20)
    taken: list[float] = []
    while now < max(4.0, 20 / rate):
        if limit.refusal() is None:
            taken.append(now)
        now += step
    span = max(1.0, 1 / rate)
    for start in taken:
        assert sum(1 for at in taken if start <= at < start + span - 1e-6) <= max(1, rate)
    assert len(taken) >= 0.9 * rate * now


def test_without_faults_there_is_no_limit(sandbox: Open) -> None:
    """A sandbox without a rate throttles nobody."""
    world = World.of([Pair(1, run) for run in range(1, 101)])
    with sandbox(world) as box:
        assert {delete(box, 1, [run]).status for run in range(1, 101)} == {204}


# The call log


def test_the_log_has_every_call_with_its_effect(sandbox: Open) -> None:
    """Each delete call is in the log in order, with what it asked for and what it took out."""
    with sandbox(small()) as box:
        delete(box, 1, [11], "a")
        delete(box, 1, [11, 12], "b")
        delete(box, 1, [999], "c")
        delete(box, 1, [True], "d")
        delete(box, 9, [11], "e")
        calls = box.calls
        log = box.server.log
        assert log.calls == 5
        assert log.statuses == {"204": 2, "400": 2, "404": 1}
    assert [(call.request_id, call.result_id, call.status, call.applied) for call in calls] == [
        ("a", 1, 204, (11,)),
        ("b", 1, 204, (12,)),
        ("c", 1, 400, ()),
        ("d", 1, 400, ()),
        ("e", 9, 404, ()),
    ]
    assert [call.run_ids for call in calls[:3]] == [(11,), (11, 12), (999,)]
    assert [call.t for call in calls] == sorted(call.t for call in calls)


def test_the_log_has_calls_without_a_valid_key(sandbox: Open) -> None:
    """A delete call that is rejected for its key is in the log with its 401."""
    with sandbox(small(), key=KEY) as box:
        path = "/test_framework/v1/results/1/delete_runs/"
        ask(box, "POST", path, b'{"run_ids": [11]}', key="wrong", request_id="a")
        seen = [(call.request_id, call.result_id, call.status, call.applied) for call in box.calls]
    assert seen == [("a", 1, 401, ())]


def test_the_log_has_throttled_calls(sandbox: Open) -> None:
    """A delete call that is throttled is in the log with its 429."""
    with sandbox(small(), Faults(rate=RARELY)) as box:
        delete(box, 1, [11], "a")
        delete(box, 2, [21], "b")
        seen = [(call.request_id, call.result_id, call.status, call.applied) for call in box.calls]
    assert seen == [("a", 1, 204, (11,)), ("b", 2, 429, ())]


def test_the_log_has_the_status_of_a_body_too_large(sandbox: Open) -> None:
    """A call whose body is beyond all measure is in the log as what it was answered with."""
    with sandbox(small()) as box:
        assert delete(box, 1, ["x" * (1 << 20)]).status == 413
        assert [call.status for call in box.calls] == [413]


def test_reading_is_not_in_the_log(sandbox: Open) -> None:
    """The log is of delete calls alone."""
    with sandbox(small()) as box:
        read(box, "runs/")
        ask(box, "GET", "/test_framework/v2/results/9/")
        assert box.calls == []


def test_the_log_file_has_a_line_before_the_reply() -> None:
    """Given a file, each call is a line of JSON in it by the time it is answered."""
    file = io.StringIO()
    server = Server(small(), Faults(), seed=1, key=None, log=CallLog(file))
    with in_background(server) as url:
        delete(url, 1, [11, 12], "first")
        [line] = file.getvalue().splitlines()
        found = json.loads(line)
        delete(url, 1, [999], "second")
        assert len(file.getvalue().splitlines()) == 2
    assert found.pop("t") > 0
    assert found == {
        "request_id": "first",
        "result_id": 1,
        "run_ids": [11, 12],
        "status": 204,
        "applied": [11, 12],
        "fault": None,
    }


def test_the_log_tells_calls_at_once_on_one_result(sandbox: Open) -> None:
    """Calls that overlap on one result are counted as such, while they wait for their reply too."""
    with sandbox(small(), Faults(latency_s=0.5)) as box:
        with ThreadPoolExecutor(3) as pool:
            calls = [
                pool.submit(delete, box, result_id, [run_id])
                for result_id, run_id in ((1, 11), (1, 12), (2, 21))
            ]
        assert [call.result().status for call in calls] == [204, 204, 204]
        assert box.server.log.most_at_once == {1: 2, 2: 1}


def test_calls_one_after_the_other_are_not_at_once(sandbox: Open) -> None:
    """Calls that follow each other on one result never count as overlapping."""
    with sandbox(small(), Faults(latency_s=0.02, error_before=0.5)) as box:
        for run in (11, 12, 13, 999, 0):
            delete(box, 1, [run])
        assert box.server.log.most_at_once == {1: 1}


# Serving


def test_the_server_is_gone_afterwards(sandbox: Open) -> None:
    """A sandbox in the background ends with its block, even if a client stays connected."""
    with sandbox(small()) as box:
        url = box.url
        idle = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        idle.request("GET", "/test_framework/v2/runs/", headers={"X-CEKURA-API-KEY": KEY})
        idle.getresponse().read()
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        ask(url, "GET", "/")


async def test_a_taken_port_is_refused_by_name(sandbox: Open) -> None:
    """A port that another program listens on ends with the name of the flag."""
    with sandbox(small()) as box:
        port = urlsplit(box.url).port or 0
        other = Server(small(), Faults(), seed=1, key=None, log=CallLog())
        with pytest.raises(InvalidInput, match=f"--port {port}"):
            await serve(other, port, lambda _: None)


# The vendor's own SDK


def test_the_vendors_sdk_deletes_runs(sandbox: Open) -> None:
    """The SDK's delete_runs, which leaves the slash off, deletes these runs."""
    with sandbox(small(), key=KEY) as box, Cekura(api_key=KEY, base_url=box.url) as sdk:
        assert sdk.results.delete_runs(1, run_ids=[11, 13]) == {}
        assert box.left == {Pair(1, 12), Pair(2, 21)}
        assert box.world.evaluations == {1: 1}


def test_the_vendors_sdk_reads_results_and_runs(sandbox: Open) -> None:
    """The SDK gets a result and lists, gets and bulk-reads runs, without the deleted ones."""
    with sandbox(small(), key=KEY) as box, Cekura(api_key=KEY, base_url=box.url) as sdk:
        sdk.results.delete_runs(1, run_ids=[11])
        result = sdk.results.get(1)
        assert set(result["runs"]) == {"12", "13"}
        assert result["total_runs_count"] == 2
        assert {found["id"] for found in sdk.results.list()["results"]} == {1, 2}
        page = sdk.runs.list(result_id=1, page_size=1, ordering="-id")
        assert page["count"] == 2
        assert [run["id"] for run in page["results"]] == [13]
        assert sdk.runs.get(21)["result_id"] == 2
        assert [run["id"] for run in sdk.runs.bulk(run_ids="11,12")] == [12]


def test_the_vendors_sdk_knows_the_sandboxs_errors(sandbox: Open) -> None:
    """The errors are those that the SDK tells apart: 400, 401 and 404."""
    with sandbox(small(), key=KEY) as box:
        with Cekura(api_key=KEY, base_url=box.url) as sdk:
            with pytest.raises(NotFoundError, match="No Result"):
                sdk.results.get(9)
            with pytest.raises(APIError, match="run_ids") as refused:
                sdk.results.delete_runs(1, run_ids=[])
            assert refused.value.status_code == 400
        with (
            Cekura(api_key="wrong", base_url=box.url) as stranger,
            pytest.raises(AuthenticationError),
        ):
            stranger.results.delete_runs(1, run_ids=[11])
        assert box.left == set(small().pairs())


def test_the_vendors_sdk_reads_the_delay_of_a_429(sandbox: Open) -> None:
    """A throttled call is a rate limit error of the SDK, with the seconds to wait."""
    with (
        sandbox(small(), Faults(rate=RARELY)) as box,
        Cekura(api_key=KEY, base_url=box.url) as sdk,
    ):
        sdk.results.get(1)
        with pytest.raises(RateLimitError) as throttled:
            sdk.results.delete_runs(1, run_ids=[11])
        assert throttled.value.retry_after == "50"
        assert box.left == set(small().pairs())


# Rehearsing what an engine must live with


@pytest.mark.parametrize(
    ("read_back", "status"), [("allowed", 200), ("forbidden", 403), ("missing", 404)]
)
def test_reading_can_be_refused_while_deleting_is_not(
    sandbox: Open, read_back: str, status: int
) -> None:
    """Told so, every read is a 403 or a 404 with its detail, and deletions go on."""
    faults = Faults(read_back=read_back)  # type: ignore[arg-type]  # one of the Literal's words
    with sandbox(small(), faults) as box:
        for path in ("runs/bulk/?run_ids=11", "results/1/", "runs/11/", "runs/", "results/"):
            answer = ask(box, "GET", f"/test_framework/v2/{path}")
            assert answer.status == status
            assert status == 200 or answer.json["detail"]
        assert delete(box, 1, [11]).status == 204


def test_reading_that_is_refused_still_wants_a_key(sandbox: Open) -> None:
    """Without a key a read is a 401, whatever it would be with one."""
    with sandbox(small(), Faults(read_back="missing"), key=KEY) as box:
        assert ask(box, "GET", "/test_framework/v2/results/1/", key="wrong").status == 401


def test_reads_are_counted_apart(sandbox: Open) -> None:
    """The log has the time and the path of every read, refused ones as well, and no deletion."""
    with sandbox(small(), key=KEY) as box:
        read(box, "runs/bulk/?run_ids=11,12")
        ask(box, "GET", "/test_framework/v2/results/9/")
        ask(box, "GET", "/test_framework/v2/results/1/", key="wrong")
        delete(box, 1, [11])
        reads = box.server.log.reads
        assert [path for _, path in reads] == [
            "/test_framework/v2/runs/bulk/?run_ids=11,12",
            "/test_framework/v2/results/9/",
            "/test_framework/v2/results/1/",
        ]
        assert [at for at, _ in reads] == sorted(at for at, _ in reads)
        assert box.server.log.calls == 1


@pytest.mark.parametrize("size", [1, 5000, 300_000])
def test_runs_can_be_made_large(sandbox: Open, size: int) -> None:
    """Each transcript is at least as long as asked for, and the rest of the run is as without."""
    with sandbox(small()) as box:
        plain = read(box, "runs/bulk/?run_ids=11,12,21")
    with sandbox(small(), Faults(run_bytes=size)) as box:
        delete(box, 1, [12])
        answer = ask(box, "GET", "/test_framework/v2/runs/bulk/?run_ids=11,12,21")
        one = read(box, "runs/11/")
        none = read(box, "runs/bulk/?run_ids=12")
    assert answer.headers["Content-Type"].startswith("application/json")
    large = answer.json
    assert large[0] == one
    assert none == []
    for run in large:
        assert size <= len(json.dumps(run.pop("transcript"))) < size + 2000
    for run in plain:
        assert run.pop("transcript") == []
    assert large == [run for run in plain if run["id"] != 12]


def test_large_runs_are_never_held_together() -> None:
    """A reply of a hundred MB is written without the server growing by as much."""
    world = World.of(Pair(1, run) for run in range(1, 101))
    server = Server(world, Faults(run_bytes=2**20), seed=1, key=None, log=CallLog())
    ids = ",".join(map(str, range(1, 101)))
    with in_background(server) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        path = f"/test_framework/v2/runs/bulk/?run_ids={ids}"
        tracemalloc.start()
        try:
            connection.request("GET", path, headers={"X-CEKURA-API-KEY": KEY})
            response = connection.getresponse()
            length = 0
            while piece := response.read(65536):
                length += len(piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            connection.close()
    assert length > 100 * 2**20
    assert peak < 5 * 2**20


def test_a_queue_makes_calls_wait_and_refuses_none(sandbox: Open) -> None:
    """Above the capacity calls are slow: they are served one by one, and all are served."""
    world = World.of(Pair(1, run) for run in range(1, 9))
    with sandbox(world, Faults(capacity=20)) as box:
        started = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(delete, box, 1, [run]) for run in range(1, 9)]
        assert {call.result().status for call in calls} == {204}
        assert time.monotonic() - started >= 7 / 20
        assert box.left == set()


@settings(deadline=None)
@given(st.floats(0.5, 500), st.lists(st.floats(0, 0.5), min_size=1, max_size=60))
def test_a_queue_serves_its_capacity(capacity: float, gaps: list[float]) -> None:
    """Calls are served in their order, a service time apart, and at once where nothing waits."""
    now = 0.0
    queue = Queue(capacity, lambda: now)
    served = []
    for gap in gaps:
        now += gap
        wait = queue.wait()
        assert wait >= 0
        served.append(now + wait)
    assert served[0] == gaps[0]
    for before, after in pairwise(served):
        assert after - before >= 1 / capacity - 1e-9


def test_without_a_capacity_nothing_queues() -> None:
    """A server without a capacity serves any number of calls at once."""
    queue = Queue(None, lambda: 5.0)
    assert [queue.wait() for _ in range(100)] == [0.0] * 100


def test_a_bucket_lets_its_burst_through_at_once(sandbox: Open) -> None:
    """With a burst, so many calls pass in one go; the next is a 429 that tells when to return."""
    with sandbox(small(), Faults(rate=RARELY, burst=3)) as box:
        answers = [delete(box, 1, [run]) for run in (11, 12, 13)]
        assert [answer.status for answer in answers] == [204, 204, 204]
        refused = ask(box, "GET", "/test_framework/v2/runs/")
        assert refused.status == 429
        assert 30 <= int(refused.headers["Retry-After"]) <= 50


@settings(deadline=None)
@given(
    st.floats(0.5, 500),
    st.integers(1, 50),
    st.lists(st.floats(0, 0.2), min_size=1, max_size=300),
)
def test_a_bucket_holds_no_more_than_its_burst(rate: float, burst: int, gaps: list[float]) -> None:
    """In any span of t seconds at most burst + rate * t calls pass, and what is told is enough."""
    now = 100.0
    bucket = TokenBucket(rate, burst)
    taken: list[float] = []
    for gap in gaps:
        now += gap
        wait = bucket.wait(now)
        if wait:
            now += wait + 1e-6
            assert bucket.wait(now) == 0
        taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            span = taken[last] - start
            assert last - first + 1 <= burst + rate * span + 1e-3


def test_a_429_can_ask_for_a_year(sandbox: Open) -> None:
    """Told so, Retry-After is beyond all reason."""
    with sandbox(small(), Faults(rate=RARELY, retry_after="absurd")) as box:
        delete(box, 1, [11])
        assert delete(box, 1, [12]).headers["Retry-After"] == "31536000"


def test_in_an_outage_every_call_is_a_503_without_effect(sandbox: Open) -> None:
    """From the first deletion on, all calls are a 503 without Retry-After, and nothing is done."""
    with sandbox(small(), Faults(outage=Outage(0.0, 3600.0))) as box:
        assert read(box, "runs/")["count"] == 4
        for answer in (delete(box, 1, [11]), ask(box, "GET", "/test_framework/v2/runs/")):
            assert answer.status == 503
            assert answer.json["detail"]
            assert answer.headers["Retry-After"] is None
        assert box.left == set(small().pairs())
        assert [(call.status, call.applied) for call in box.calls] == [(503, ())]


def test_an_outage_begins_and_ends() -> None:
    """The outage counts from the first deletion, lasts as long as it was told, and is over."""
    now = 0.0
    presence = Presence(Outage(5.0, 20.0), lambda: now)

    def out(at: float, *, deletes: bool = True) -> bool:
        nonlocal now
        now = at
        return presence.is_out(deletes=deletes)

    assert not out(90, deletes=False)
    assert not out(100)
    assert [out(at) for at in (104.9, 105, 124.9, 125, 1000)] == [False, True, True, False, False]
    assert [out(at, deletes=False) for at in (110, 126)] == [True, False]


# The command's switches


def faults_from(*words: str) -> Faults:
    """Read switches as the command does, without serving."""
    return faults_of(app.commands["sandbox"].make_context("sandbox", list(words)).params)


def test_the_switches_become_faults() -> None:
    """Each switch sets the field of its name; without any there is no fault."""
    assert faults_from() == Faults()
    assert faults_from(
        *("--capacity", "50/s", "--rate-limit", "600/m", "--burst", "5"),
        *("--retry-after", "absurd", "--outage", "5s+20s"),
        *("--read-back", "forbidden", "--run-bytes", "1000", "--latency", "20ms"),
    ) == Faults(
        latency_s=0.02,
        capacity=50.0,
        rate=10.0,
        burst=5,
        retry_after="absurd",
        outage=Outage(5.0, 20.0),
        read_back="forbidden",
        run_bytes=1000,
    )
    assert faults_from("--outage", "0s+500ms").outage == Outage(0.0, 0.5)


@pytest.mark.parametrize(
    "words",
    [
        ("--capacity", "50"),
        ("--burst", "5"),
        ("--outage", "5s"),
        ("--outage", "+5s"),
        ("--outage", "5s+0s"),
        ("--outage", "5s+20s+1s"),
    ],
    ids=" ".join,
)
def test_a_switch_that_cannot_be_read_is_refused(words: tuple[str, ...]) -> None:
    """A rate, burst or outage that makes no sense ends before anything is served."""
    with pytest.raises(InvalidInput, match="sandbox"):
        faults_from(*words)


def test_the_command_serves_what_its_switches_say(command: Command) -> None:
    """The real command serves with its switches, and ends on SIGTERM with a count of the calls."""
    process = command.start(
        *("sandbox", "--port", 0, "--results", 2, "--runs", 4),
        *("--read-back", "forbidden", "--outage", "0s+1h"),
    )
    assert process.stderr is not None
    try:
        url = process.stderr.readline().split()[2].removesuffix(":")
        assert ask(url, "GET", "/test_framework/v2/runs/").status == 403
        assert delete(url, 1001, [500_001]).status == 503
    finally:
        process.terminate()
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "1 delete calls (1 with 503); 4 runs left." in told
