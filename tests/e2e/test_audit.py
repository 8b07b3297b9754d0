"""A job's journal looked over and repaired, through the real command."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from bulk_delete.columns import columns_of
from bulk_delete.model import State
from bulk_delete.sandbox import Faults, World
from tests.conftest import Command, Sandbox, write_csv
from tests.e2e.test_interruption import wait_for_calls
from tests.replays import replay

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=12, runs=300, seed=5).pairs()


def world() -> World:
    return World.of(PAIRS)


def killed(command: Command, api: Sandbox, calls: int) -> None:
    """Start the job and kill it after so many calls."""
    child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
    wait_for_calls(api, calls)
    child.kill()
    child.communicate(timeout=30)


def test_a_sound_journal_passes(command: Command, sandbox: Running) -> None:
    """After faults, a crash and a resume the audit finds nothing, and ends with 0."""
    write_csv(command.home / "runs.csv", PAIRS)
    faults = Faults(latency_s=0.02, reset_after=0.2, error_before=0.1)
    with sandbox(world(), faults) as api:
        killed(command, api, 4)
        assert command.run("resume", "runs", "--base-url", api.url).returncode == 0
    done = command.run("audit", "runs")
    assert done.returncode == 0, done.stdout
    assert "of 2 executions" in done.stdout
    assert "its books agree with the plan" in done.stdout
    told = json.loads(command.run("audit", "runs", "--json").stdout)
    assert told["sound"] is True
    assert told["findings"] == []
    assert told["lines"] == len(command.journal())


def test_damage_is_told_by_line(command: Command, sandbox: Running) -> None:
    """An edited line and a lost one are both named, the code is 1, and nothing is touched."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    journal = command.folder() / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"ts":"20', b'"ts":"21')
    del lines[8]
    journal.write_bytes(b"".join(lines))
    done = command.run("audit", "runs")
    assert done.returncode == 1
    assert "line 3: the chain does not match" in done.stdout
    assert "line 9: its number is 10: before it 1 line is missing" in done.stdout
    assert "bulk-delete audit runs --repair" in done.stdout
    assert journal.read_bytes() == b"".join(lines)


@pytest.mark.parametrize(
    "lost", ["a line in the middle", "the end", "a changed line", "all", "the file"]
)
def test_a_repaired_job_goes_on(command: Command, sandbox: Running, lost: str) -> None:
    """After a repair the job ends well: what the lost lines may have sent is read back first."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.02)) as api:
        killed(command, api, 6)
        journal = command.folder() / "journal.jsonl"
        whole = journal.read_bytes()
        whole = whole[: whole.rindex(b"\n") + 1]  # the kill may have torn a line
        lines = whole.splitlines(keepends=True)
        (command.folder() / "journal.mark").write_bytes(
            json.dumps([len(lines), json.loads(lines[-1])["chain"], len(whole)]).encode()
        )
        match lost:
            case "a line in the middle":
                del lines[4]
            case "the end":
                del lines[5:]
            case "a changed line":
                lines[3] = lines[3].replace(b'"batch":', b'"batch" :')
            case _:
                lines = []
        journal.write_bytes(b"".join(lines))
        if lost == "the file":
            journal.unlink()
        refused = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        assert refused.returncode == 2
        assert "--repair" in refused.stderr
        before = len(api.calls)
        repaired = command.run("audit", "runs", "--repair")
        assert repaired.returncode == 0, repaired.stderr + repaired.stdout
        assert command.run("audit", "runs").returncode == 0
        told = next(line for line in command.journal() if line["event"] == "journal.repaired")
        kept = (command.folder() / "journal.broken").read_bytes() if told["bytes"] else b""
        assert journal.read_bytes().startswith(b"".join(lines)[: len(b"".join(lines)) - len(kept)])
        assert b"".join(lines).endswith(kept)
        done = command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        assert len(api.calls) > before
    assert done.returncode == 0, done.stderr + done.stdout
    assert api.left == set()
    states = replay(journal).states.count([columns_of(PAIRS)])
    assert states[State.DELETED] + states[State.GONE] == len(PAIRS)
    assert command.run("audit", "runs").returncode == 0


def test_a_running_job_is_not_audited(command: Command, sandbox: Running) -> None:
    """While the job runs its journal is half a sentence: code 7, with who holds it."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=20)) as api:
        child = command.start("run", "runs.csv", "--yes", "--base-url", api.url)
        wait_for_calls(api, 1)
        for words in ((), ("--repair",)):
            done = command.run("audit", "runs", *words)
            assert done.returncode == 7
            assert f"pid {child.pid} on " in done.stderr
        child.kill()
        child.communicate(timeout=30)


def test_a_sound_journal_is_not_repaired(command: Command, sandbox: Running) -> None:
    """Nothing is cut where nothing is damaged; a job that never was is named."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
    before = (command.folder() / "journal.jsonl").read_bytes()
    assert command.run("audit", "runs", "--repair").returncode == 0
    assert (command.folder() / "journal.jsonl").read_bytes() == before
    none = command.run("audit", "walks")
    assert none.returncode == 2
    assert "there is no job 'walks'" in none.stderr


def restarted(command: Command, sandbox: Running, *, runs: int = 1) -> list[bytes]:
    """Do the job, have everything there again, verify; return the journal's lines."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        for result_id, run_id in PAIRS:
            api.world.live[result_id].add(run_id)
        for _ in range(runs):
            assert command.run("verify", "runs", "--base-url", api.url).returncode == 1
    return (command.folder() / "journal.jsonl").read_bytes().splitlines(keepends=True)


def doubted(command: Command) -> int:
    states = replay(command.folder() / "journal.jsonl").states.count([columns_of(PAIRS)])
    return states.get(State.UNKNOWN, 0)


def test_a_repair_forgets_no_run_that_was_opened_again(command: Command, sandbox: Running) -> None:
    """What a lost verify has found still there is in doubt, not deleted as it was before."""
    lines = restarted(command, sandbox)
    begun = next(place for place, line in enumerate(lines) if b"verify.started" in line)
    lines[begun + 1] = lines[begun + 1].replace(b'"v":1', b'"v":3')
    (command.folder() / "journal.jsonl").write_bytes(b"".join(lines))
    assert command.run("audit", "runs", "--repair").returncode == 0
    assert doubted(command) == len(PAIRS)


def test_a_second_repair_keeps_the_doubts_of_the_first(command: Command, sandbox: Running) -> None:
    """Damage to the lines of a repair does not forget what it had put in doubt."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.02)) as api:
        killed(command, api, 6)
    journal = command.folder() / "journal.jsonl"
    found = []
    for _ in range(2):
        lines = journal.read_bytes().splitlines(keepends=True)
        lines = [line for line in lines if line.endswith(b"\n")]
        size, chain = sum(map(len, lines)), json.loads(lines[-1])["chain"]
        (command.folder() / "journal.mark").write_text(json.dumps([len(lines), chain, size]))
        lines[1] = lines[1].replace(b'"v":1', b'"v":3')
        journal.write_bytes(b"".join(lines))
        for plan in command.folder().glob("plan.*.bin"):
            plan.unlink()  # so that only the lines tell
        done = command.run("audit", "runs", "--repair")
        assert done.returncode == 0
        assert "The saved plan is not there" in done.stdout
        found.append(doubted(command))
    assert found[1] >= found[0] > 0


def test_a_changed_line_is_not_believed(command: Command, sandbox: Running) -> None:
    """An id that a damaged line has come to hold is nobody's doubt, and in no list."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.02)) as api:
        killed(command, api, 6)
        journal = command.folder() / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        lines[2] = lines[2].replace(b'"run_ids":[', b'"run_ids":[987654,')
        lines[3] = lines[3].replace(b'"run_ids":[', b'"run_ids":[-5,99999999999999999999999,')
        journal.write_bytes(b"".join(lines))
        assert command.run("audit", "runs", "--repair").returncode == 0
        assert b"987654" not in journal.read_bytes()
        assert command.run("run", "runs.csv", "--yes", "--base-url", api.url).returncode == 0
    assert not (command.folder() / "leftover.csv").exists()
    assert api.left == set()


def test_a_journal_without_a_mark_may_have_lost_its_end(command: Command, sandbox: Running) -> None:
    """A repair takes that for damage, and makes a mark; what is no mark is told with its cure."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.02)) as api:
        killed(command, api, 8)
    mark = command.folder() / "journal.mark"
    mark.write_text('[-5,"x",0]')
    assert "remove the mark" in command.run("audit", "runs").stderr
    mark.unlink()
    assert command.run("audit", "runs").returncode == 1
    done = command.run("audit", "runs", "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert command.run("audit", "runs").returncode == 0
    assert doubted(command) > 0
