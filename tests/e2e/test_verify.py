"""Reading back what a job has deleted, through the real command."""

import json
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

from bulk_delete.model import Pair
from bulk_delete.sandbox import Faults, World
from tests.conftest import Command, Sandbox, write_csv
from tests.e2e.test_interruption import finish, wait_until

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=10, runs=800, seed=4).pairs()


def world() -> World:
    return World.of(PAIRS)


def put_back(api: Sandbox, pairs: list[Pair]) -> None:
    """Have runs there again, as if their deletion had not been true."""
    for result_id, run_id in pairs:
        api.world.live[result_id].add(run_id)
        api.world.deleted[result_id].discard(run_id)


def test_what_is_gone_is_confirmed(command: Command, sandbox: Running) -> None:
    """Where nothing came back the code is 0, and the journal says what was read."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        calls = len(api.calls)
        done = command.run("verify", "runs", "--base-url", api.url)
        assert len(api.calls) == calls
    assert done.returncode == 0, done.stderr
    assert "every run is absent" in done.stdout
    assert "api.read" not in done.stderr
    last = command.journal()[-1]
    assert (last["event"], last["outcome"], last["counts"]) == (
        "verify.finished",
        "done",
        {"runs": 800, "checked": 800, "still_there": 0, "unseen": 0},
    )
    assert not (command.folder() / "still-there.csv").exists()
    assert command.run("audit", "runs").returncode == 0


def test_what_is_still_there_is_listed_and_sent_again(command: Command, sandbox: Running) -> None:
    """Runs that came back end with 1, are listed, and the next start sends just them."""
    write_csv(command.home / "runs.csv", PAIRS)
    back = PAIRS[::7]
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        put_back(api, back)
        done = command.run("verify", "runs", "--base-url", api.url)
        assert done.returncode == 1, done.stderr
        assert f"{len(back):,} runs are still there" in done.stdout
        rows = (command.folder() / "still-there.csv").read_text().splitlines()
        assert [Pair(*map(int, row.split(",")[:2])) for row in rows[1:]] == back
        reopened = [line for line in command.journal() if line["event"] == "batch.reopened"]
        assert sum(len(line["run_ids"]) for line in reopened) == len(back)
        seen = len(api.seen)
        assert command.run("resume", "runs", "--base-url", api.url).returncode == 0
        assert sorted(api.seen[seen:]) == back
        again = command.run("verify", "runs", "--base-url", api.url)
    assert again.returncode == 0, again.stdout
    assert not (command.folder() / "still-there.csv").exists()
    assert command.run("audit", "runs").returncode == 0


def test_an_interrupted_one_goes_on(command: Command, sandbox: Running) -> None:
    """After a signal the next one reads the rest, and the list has what both have found."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(latency_s=0.02)) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        put_back(api, PAIRS)
        line = ("verify", "runs", "--concurrency", "1", "--rate", "20/s", "--base-url", api.url)
        before = len(api.server.log.reads)
        child = command.start(*line)
        wait_until(lambda: len(api.server.log.reads) > before + 3)
        child.send_signal(signal.SIGTERM)
        code, out, err = finish(child)
        assert code == 143, out + err
        first = command.journal()[-1]["counts"]["checked"]
        assert 0 < first < len(PAIRS)
        done = command.run("verify", "runs", "--base-url", api.url)
    assert done.returncode == 1
    assert "from where the last verify stopped" in done.stdout
    assert command.journal()[-1]["counts"]["checked"] == len(PAIRS) - first
    rows = (command.folder() / "still-there.csv").read_text().splitlines()
    assert len(rows) == 1 + len(PAIRS)
    assert command.run("audit", "runs").returncode == 0


def test_a_sample_says_how_sure_it_is(command: Command, sandbox: Running) -> None:
    """Of a sample that found nothing, the share that may be there all the same is told."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        done = command.run("verify", "runs", "--sample", 100, "--json", "--base-url", api.url)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["counts"]["checked"], told["believed"], told["sample"]) == (100, 800, True)
    assert round(told["most_missed"], 4) == 0.0295


def test_a_key_that_may_not_read_proves_nothing(command: Command, sandbox: Running) -> None:
    """Where reading is forbidden the code is 5; where the result is not seen, 1."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world(), Faults(read_back="forbidden")) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        done = command.run("verify", "runs", "--base-url", api.url)
        assert done.returncode == 5, done.stdout
        assert "runs cannot be read back" in done.stdout
        other = command.run("verify", "runs", "--base-url", "http://127.0.0.1:1")
        assert other.returncode == 4
        assert "belongs to" in other.stderr
    assert command.run("verify", "walks", "--base-url", api.url).returncode == 2


def test_a_job_may_be_verified_at_once(command: Command, sandbox: Running) -> None:
    """`run --verify` reads back what it has just deleted; a lie of the API ends with 1."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        line = ("run", "runs.csv", "--yes", "--verify", "--json", "--base-url", api.url)
        done = command.run(*line)
        assert done.returncode == 0, done.stderr
        decoder, text = json.JSONDecoder(), done.stdout
        summary, end = decoder.raw_decode(text)
        told, _ = decoder.raw_decode(text[end:].lstrip())
        assert (summary["counts"]["deleted"], told["counts"]["checked"]) == (800, 800)
        api.world.live[PAIRS[0].result_id].add(PAIRS[0].run_id)
        again = command.run(*line)
    assert again.returncode == 1


def test_what_is_known_to_be_there_stays_known(command: Command, sandbox: Running) -> None:
    """A second verify, of all or of a sample, does not drop what the first one found."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        put_back(api, PAIRS[:50])
        for words in ((), (), ("--sample", 5)):
            done = command.run("verify", "runs", *words, "--base-url", api.url)
            assert done.returncode == 1, done.stdout
            assert "50 runs are still there" in done.stdout
            rows = (command.folder() / "still-there.csv").read_text().splitlines()
            assert len(rows) == 51
        assert command.run("resume", "runs", "--base-url", api.url).returncode == 0
        assert command.run("verify", "runs", "--base-url", api.url).returncode == 0


def test_a_journal_that_verify_mends_is_told_of(command: Command, sandbox: Running) -> None:
    """What verify moves away from a torn end it says, as run does."""
    write_csv(command.home / "runs.csv", PAIRS)
    with sandbox(world()) as api:
        command.run("run", "runs.csv", "--yes", "--base-url", api.url)
        with (command.folder() / "journal.jsonl").open("ab") as journal:
            journal.write(b'{"v":1,"n":')
        done = command.run("verify", "runs", "--base-url", api.url)
    assert done.returncode == 0
    assert "journal.mended" in done.stderr
