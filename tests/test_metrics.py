"""The metrics file: each writer's own lines, replaced in one step."""

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bulk_delete.metrics import BUCKETS, Call, Execution, Latency, Tally, Verdict
from bulk_delete.metrics.textfile import write

EXECUTION = Execution(
    job="nightly",
    running=True,
    began=100.0,
    at=160.0,
    seconds=60.0,
    rows={"planned": 5, "rejected": 1},
    runs={"deleted": 3, "unsent": 2},
    retries=4,
    in_flight=2,
    pace=5.0,
    limit=10.0,
    throttled_s=2.5,
    held={"operator": True, "outage": False},
    tally=Tally(
        {Call("delete", "204"): 7, Call("read", "200"): 1},
        Latency((6, *(0,) * (len(BUCKETS) - 1), 2), 130.5),
    ),
)


def samples(path: Path) -> dict[str, float]:
    """Parse a metrics file; names come with their labels but for the job's."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "job_name"}
            told = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
            found[f"{sample.name}{{{told}}}" if told else sample.name] = sample.value
    return found


def test_what_an_execution_tells(tmp_path: Path) -> None:
    """Every figure stands in the file under its name, the buckets summed up."""
    assert write(tmp_path / "a.prom", EXECUTION) is None
    found = samples(tmp_path / "a.prom")
    buckets = {name: found.pop(name) for name in list(found) if "_bucket" in name}
    assert found == {
        "bulk_delete_running": 1,
        "bulk_delete_start_timestamp_seconds": 100,
        "bulk_delete_update_timestamp_seconds": 160,
        "bulk_delete_duration_seconds": 60,
        "bulk_delete_input_rows{part=planned}": 5,
        "bulk_delete_input_rows{part=rejected}": 1,
        "bulk_delete_runs{state=deleted}": 3,
        "bulk_delete_runs{state=unsent}": 2,
        "bulk_delete_calls_total{kind=delete,status=204}": 7,
        "bulk_delete_calls_total{kind=read,status=200}": 1,
        "bulk_delete_retries_total": 4,
        "bulk_delete_throttled_seconds_total": 2.5,
        "bulk_delete_held{by=operator}": 1,
        "bulk_delete_held{by=outage}": 0,
        "bulk_delete_calls_in_flight": 2,
        "bulk_delete_pace_calls_per_second": 5,
        "bulk_delete_pace_limit_calls_per_second": 10,
        "bulk_delete_call_duration_seconds_count": 8,
        "bulk_delete_call_duration_seconds_sum": 130.5,
    }
    assert list(buckets.values()) == [6] * len(BUCKETS) + [8]


def test_each_writer_leaves_the_others_lines(tmp_path: Path) -> None:
    """An end of a start and an execution's figures replace their own lines alone, to the byte."""
    path = tmp_path / "a.prom"
    write(path, EXECUTION)
    figures = path.read_text()
    write(path, Verdict("nightly", 7, 200.0))
    assert path.read_text().startswith(figures)
    write(path, replace(EXECUTION, running=False, at=210.0))
    found = samples(path)
    assert found["bulk_delete_last_exit_code"] == 7
    assert (found["bulk_delete_running"], found["bulk_delete_update_timestamp_seconds"]) == (0, 210)


def test_the_last_success_stays(tmp_path: Path) -> None:
    """It is 0 as long as none is known, and outlives the failures that follow it."""
    path = tmp_path / "a.prom"
    times = []
    for code, at in ((1, 100.0), (0, 200.0), (4, 300.0), (5, 400.0)):
        write(path, Verdict("nightly", code, at))
        times.append(samples(path)["bulk_delete_last_success_timestamp_seconds"])
    assert times == [0, 200, 200, 200]
    assert samples(path)["bulk_delete_last_end_timestamp_seconds"] == 400


def test_a_file_of_another_job(tmp_path: Path) -> None:
    """Its lines go, and whose they were is told."""
    path = tmp_path / "a.prom"
    write(path, replace(EXECUTION, job="weekly"))
    assert write(path, Verdict("nightly", 0, 1.0)) == "weekly"
    assert "weekly" not in path.read_text()


@pytest.mark.parametrize("old", [b"", b"no metrics {", b"\xff\xfe", None])
def test_what_cannot_be_read_is_written_anew(tmp_path: Path, old: bytes | None) -> None:
    """A damaged file is no obstacle, and none is needed."""
    path = tmp_path / "a.prom"
    if old is not None:
        path.write_bytes(old)
    write(path, Verdict("nightly", 0, 5.0))
    assert samples(path)["bulk_delete_last_exit_code"] == 0


def test_others_may_read_it(tmp_path: Path) -> None:
    """Whatever the umask, the file is 0644, and nothing is left beside it."""
    before = os.umask(0o077)
    try:
        write(tmp_path / "a.prom", EXECUTION)
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["a.prom"]
    assert (tmp_path / "a.prom").stat().st_mode & 0o777 == 0o644


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """What the link leads to stays as it is; the link is replaced."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "a.prom").symlink_to(tmp_path / "victim")
    write(tmp_path / "a.prom", EXECUTION)
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "a.prom").is_symlink()


def test_a_writer_that_was_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that another overtakes in the middle of writing leaves the file whole all the same."""
    sync, path, due = os.fsync, tmp_path / "a.prom", [True]

    def overtaken(handle: int) -> None:
        sync(handle)
        if due and due.pop():
            with monkeypatch.context() as another:
                another.setattr("os.getpid", lambda: 1)
                another.setattr("time.sleep", lambda _: None)
                write(path, Verdict("nightly", 7, 200.0))
            assert samples(path)["bulk_delete_last_exit_code"] == 7

    monkeypatch.setattr("os.fsync", overtaken)
    write(path, EXECUTION)
    assert samples(path)["bulk_delete_running"] == 1
    assert [found.name for found in tmp_path.iterdir()] == ["a.prom"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_writing_that_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    """The old file stays, and nothing beside it."""
    path = tmp_path / "a.prom"
    write(path, Verdict("nightly", 7, 200.0))
    before = path.read_bytes()

    def broken(_: int) -> None:
        raise stop

    monkeypatch.setattr("os.fsync", broken)
    with pytest.raises(stop):
        write(path, EXECUTION)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.prom"]


def test_a_folder_that_is_held_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer is waited for a second in all; then the file is written all the same."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    write(tmp_path / "a.prom", EXECUTION)
    os.close(folder)
    assert sum(pauses) == pytest.approx(1.0)
    assert samples(tmp_path / "a.prom")["bulk_delete_running"] == 1
