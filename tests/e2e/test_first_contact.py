"""The first commands that somebody types: check, init and completion, through the real command."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bulk_delete.config import ApiKey, Settings, load, read_job_file
from bulk_delete.model import Pair
from bulk_delete.sandbox import CallLog, Faults, Server, World, in_background
from tests.conftest import KEY, Command, Sandbox, write_csv
from tests.fronts import front_of
from tests.peers import trust_in

Running = Callable[..., AbstractContextManager[Sandbox]]

PAIRS = World.made(results=2, runs=6, seed=1).pairs()


def checked(command: Command, *words: object, **environ: str) -> tuple[int, dict[str, Any]]:
    """Run `check --json`; return its code, and what it says by the name of each thing."""
    done = command.run("check", "--json", *words, **environ)
    assert KEY not in done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["exit_code"] == done.returncode
    return done.returncode, {**told, **{check["name"]: check for check in told["checks"]}}


def levels(told: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["level"] for check in told["checks"]}


def test_all_is_well(command: Command, sandbox: Running) -> None:
    """With a key that is accepted all is ok, by one call that reads, and no call that deletes."""
    with sandbox(World.of(PAIRS), key=KEY) as api:
        code, told = checked(command, "--timeout", "50s", "--base-url", api.url)
        assert api.calls == []
        (read,) = api.server.log.reads
        assert "/v2/runs/bulk/?run_ids=" in read[1]
        assert len(api.left) == len(PAIRS)
    assert code == 0
    assert set(levels(told).values()) == {"ok"}
    assert "CEKURA_API_KEY" in told["key"]["found"]
    assert ApiKey(KEY).id in told["key"]["found"]
    assert "only a deletion shows" in told["API"]["found"]
    assert told["next"] == f"bulk-delete plan runs.csv --base-url {api.url}"


def test_a_key_that_is_not_accepted(command: Command, sandbox: Running) -> None:
    """A 401 ends with 6, and says where the key was found."""
    with sandbox(World.of(PAIRS), key="another") as api:
        code, told = checked(command, "--base-url", api.url)
    assert code == 6
    assert told["API"]["level"] == "wrong"
    assert "CEKURA_API_KEY" in told["API"]["cure"]
    assert told["next"] == f"bulk-delete check --base-url {api.url}"


@pytest.mark.parametrize("answer", ["forbidden", "missing"])
def test_a_key_that_may_not_read(command: Command, sandbox: Running, answer: Any) -> None:
    """A 403 and a 404 do not call the key wrong: a warning, and 0."""
    with sandbox(World.of(PAIRS), Faults(read_back=answer), key=KEY) as api:
        code, told = checked(command, "--base-url", api.url)
    assert (code, told["API"]["level"]) == (0, "warning")
    assert "not called wrong" in told["API"]["found"]


def test_a_password_in_the_url_is_not_shown(command: Command) -> None:
    """A URL with a user is refused, and what to type next has no secret in it."""
    code, told = checked(command, "--base-url", "https://u:hunter2@x.example", "--offline")
    assert code == 2
    assert "--base-url https://x.example" in told["next"]
    assert "hunter2" not in str(told)


def test_nobody_answers(command: Command) -> None:
    """Where no connection is made the code is 5, with the cure."""
    code, told = checked(command, "--base-url", "http://127.0.0.1:1")
    assert (code, told["API"]["level"], told["clock"]["level"]) == (5, "wrong", "skipped")
    assert "cannot connect" in told["API"]["found"]
    assert "api.base_url" in told["API"]["cure"]


def test_a_certificate_that_is_not_trusted(
    command: Command, sandbox: Running, tmp_path: Path
) -> None:
    """A refused certificate ends with 5 before the key leaves; with --ca-file all is well."""
    trust = trust_in(tmp_path)
    with sandbox(World.of(PAIRS)) as api, front_of(api, trust.server("127.0.0.1")) as front:
        url = f"https://127.0.0.1:{front.port}"
        code, told = checked(command, "--base-url", url)
        assert (code, told["API"]["level"]) == (5, "wrong")
        assert "certificate is refused" in told["API"]["found"]
        assert "--ca-file" in told["API"]["cure"]
        assert front.requests == []
        code, told = checked(command, "--base-url", url, "--ca-file", trust.file)
        assert (code, told["API"]["level"]) == (0, "ok")
    missing = tmp_path / "none.pem"
    code, told = checked(command, "--base-url", url, "--ca-file", missing)
    assert (code, told["API"]["level"]) == (2, "wrong")


class _Odd(Server):
    """A sandbox that tells another time, or answers otherwise."""

    date: str | None = None
    answer: web.Response | None = None

    def app(self) -> web.Application:
        app = super().app()

        async def prepare(_: web.Request, response: web.StreamResponse) -> None:
            if self.date:
                response.headers["Date"] = self.date

        app.on_response_prepare.append(prepare)
        return app

    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        return self.answer or await super()._answer(request, handler)


@contextlib.contextmanager
def odd(*, date: str | None = None, answer: web.Response | None = None) -> Iterator[str]:
    server = _Odd(World.of(PAIRS), Faults(), seed=1, key=None, log=CallLog())
    server.date, server.answer = date, answer
    with in_background(server) as url:
        yield url


@pytest.mark.parametrize(
    ("date", "words"),
    [("Thu, 01 Jan 2015 00:00:00 GMT", "ahead of"), ("Tue, 01 Jan 2075 00:00:00 GMT", "behind")],
)
def test_clocks_that_are_apart(command: Command, date: str, words: str) -> None:
    """A clock that is far from the server's Date is warned of, with its direction."""
    with odd(date=date) as url:
        code, told = checked(command, "--base-url", url)
    assert (code, told["clock"]["level"]) == (0, "warning")
    assert words in told["clock"]["found"]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 200, "text": "<html>Welcome</html>"},
        {"status": 200, "text": '{"runs": []}'},
        {"status": 302, "headers": {"Location": "/login"}},
        {"status": 503, "text": "down"},
    ],
)
def test_something_else_answers(command: Command, answer: dict[str, Any]) -> None:
    """A reply that the API does not give is no word on the key: 5."""
    with odd(answer=web.Response(**answer)) as url:
        code, told = checked(command, "--base-url", url)
    assert (code, told["API"]["level"]) == (5, "wrong")
    assert "accepted" not in told["API"]["found"]


@pytest.mark.parametrize("status", [400, 429])
def test_a_reply_that_says_nothing_of_the_key(command: Command, status: int) -> None:
    """A 400 and a 429 neither accept the key nor call it wrong: a warning, and 0."""
    with odd(answer=web.json_response({"detail": "Not now."}, status=status)) as url:
        code, told = checked(command, "--base-url", url)
    assert (code, told["API"]["level"]) == (0, "warning")
    assert f"{status} Not now." in told["API"]["found"]
    assert "accepted" not in told["API"]["found"]


def test_no_key(command: Command) -> None:
    """Without a key the code is 2, nothing is called, and the cure is told."""
    code, told = checked(command, CEKURA_API_KEY="")
    assert code == 2
    assert (levels(told)["key"], levels(told)["API"]) == ("wrong", "skipped")
    assert "CEKURA_API_KEY" in told["key"]["found"]


def test_offline_makes_no_call(command: Command, sandbox: Running) -> None:
    """With --offline all but the API is looked at."""
    with sandbox(World.of(PAIRS)) as api:
        code, told = checked(command, "--offline", "--base-url", api.url)
        assert api.server.log.reads == []
    assert (code, levels(told)["API"], levels(told)["key"]) == (0, "skipped", "ok")


def test_no_config_is_needed(command: Command) -> None:
    """Where there is no configuration file, the place where it is looked for is told."""
    code, told = checked(command, "--offline")
    assert code == 0
    assert str(command.home / ".config/bulk-delete/config.toml") in told["configuration"]["found"]


def test_settings_are_told_with_their_origins(command: Command) -> None:
    """Each setting that is not its default comes with its value and where it was found."""
    config = command.home / "mine.toml"
    config.write_text(
        '[api]\nkey_command = "echo s3cret"\n[limits]\nrate = "3/s"\ngrace = "20s"\n[guards]\n'
        "max_runs = 7\n"
    )
    code, told = checked(
        command,
        *("--offline", "--config", config, "--timeout", "9s"),
        CEKURA_API_KEY="",
        CEKURA_API_URL="http://localhost:7",
        BULK_DELETE_LIMITS_CONCURRENCY="2",
        BULK_DELETE_GUARDS_MAX_RUNS="8",
        BULK_DELETE_LIMITS_RATE="4/s",
        BULK_DELETE_NOTIFY_SUCCESS="https://hooks.example/s3cret",
        BULK_DELETE_NOTIFY_APPRISE="mailto://me:s3cret@home",
    )
    assert code == 0
    assert "s3cret" not in str(told)
    assert "s3cret" not in json.dumps(told)
    found = {one["name"]: (one["value"], one["origin"]) for one in told["settings"]}
    assert found == {
        "api.base_url": ("http://localhost:7", "CEKURA_API_URL"),
        "api.key_command": ("(not shown)", f"{config}, line 2: [api] key_command"),
        "api.timeout": ("9s", "--timeout"),
        "limits.rate": ("4/s", "BULK_DELETE_LIMITS_RATE"),
        "limits.concurrency": ("2", "BULK_DELETE_LIMITS_CONCURRENCY"),
        "retry.base": ("20ms", "BULK_DELETE_RETRY_BASE"),
        "guards.max_runs": ("8", "BULK_DELETE_GUARDS_MAX_RUNS"),
        "notify.success": ("(not shown)", "BULK_DELETE_NOTIFY_SUCCESS"),
        "notify.apprise": ("(not shown)", "BULK_DELETE_NOTIFY_APPRISE"),
    }
    assert "--config" in told["configuration"]["found"]
    assert "api.key_command" in told["key"]["found"]


def test_an_unknown_key_in_the_config(command: Command) -> None:
    """A mistake in the configuration ends with 2; what depends on it is not looked at."""
    path = command.home / ".config/bulk-delete/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[limits]\nrat = "3/s"\n')
    code, told = checked(command)
    assert code == 2
    assert f"{path}, line 2" in told["configuration"]["found"]
    assert "did you mean rate?" in told["configuration"]["found"]
    assert {name for name, level in levels(told).items() if level == "skipped"} == {
        "key",
        "state folder",
        "API",
        "clock",
    }


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ('[api]\nkey = "abc-123"\n', {}),
        ('[api]\napi_key = "abc-123"\n', {}),
        ("", {"BULK_DELETE_API_KEY": "abc-123"}),
    ],
)
def test_a_key_in_the_wrong_place(command: Command, text: str, environ: dict[str, str]) -> None:
    """Who puts the key itself into the configuration is told where it goes, and it is not shown."""
    path = command.home / "mine.toml"
    path.write_text(text)
    done = command.run("check", "--config", path, **environ)
    assert done.returncode == 2
    assert "CEKURA_API_KEY" in done.stdout
    assert "abc-123" not in done.stdout + done.stderr


def test_a_state_folder_that_cannot_be_used(command: Command) -> None:
    """Where no journal could be written the code is 74, as a run would end."""
    (command.home / "state").write_text("a file")
    code, told = checked(command, "--offline")
    assert (code, told["state folder"]["level"]) == (74, "wrong")
    assert "--state-dir" in told["state folder"]["cure"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_state_folder(command: Command) -> None:
    """A folder that may only be read is no state folder."""
    command.state.mkdir()
    command.state.chmod(0o500)
    code, told = checked(command, "--offline")
    assert (code, told["state folder"]["level"]) == (74, "wrong")


def test_a_state_folder_that_is_open_to_all(command: Command) -> None:
    """That everybody may write to the state folder is warned of; a new one is closed to others."""
    code, told = checked(command, "--offline")
    assert (code, levels(told)["state folder"]) == (0, "ok")
    folder = command.state / "bulk-delete"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.iterdir()) == []
    folder.chmod(0o777)
    code, told = checked(command, "--offline")
    assert (code, levels(told)["state folder"]) == (0, "warning")
    assert "chmod o-w" in told["state folder"]["cure"]


def test_a_key_file_that_is_open_to_all(command: Command) -> None:
    """A key that everybody may read is warned of, and named by its file."""
    path = command.home / "key"
    path.write_text(KEY)
    path.chmod(0o644)
    environ = {"CEKURA_API_KEY": "", "BULK_DELETE_API_KEY_FILE": str(path)}
    code, told = checked(command, "--offline", **environ)
    assert (code, told["key"]["level"]) == (0, "warning")
    assert f"key file {path}" in told["key"]["found"]


def test_what_must_stay_must_be_there(command: Command) -> None:
    """A file of what must stay that is not there would stop each job: 2."""
    code, told = checked(command, "--offline", BULK_DELETE_GUARDS_PROTECT="keep.csv")
    assert (code, levels(told)["configuration"]) == (2, "wrong")
    assert "keep.csv" in told["configuration"]["found"]


def test_a_job_file_is_checked_with_its_settings(command: Command) -> None:
    """The state folder of a job file is the one that is looked at, and its mistakes are told."""
    path = command.home / "nightly.toml"
    path.write_text('[job]\ninputs = ["a.csv"]\n[state]\ndir = "here"\n')
    code, told = checked(command, "--offline", path)
    assert code == 0
    assert str(command.home / "here") in told["state folder"]["found"]
    assert told["next"] == f"bulk-delete plan {path}"
    path.write_text("[job]\n")
    code, told = checked(command, "--offline", path)
    assert code == 2
    assert "needs its inputs" in told["configuration"]["found"]


def test_a_line_for_each_thing(command: Command) -> None:
    """What people read has a line for each thing, the cure below, and the command to type last."""
    done = command.run("check", "--base-url", "http://127.0.0.1:1")
    lines = done.stdout.splitlines()
    names = [line[9:24].strip() for line in lines if line[:1].strip()]
    assert names[:6] == ["configuration", "key", "state folder", "API", "clock", "versions"]
    (api,) = [place for place, line in enumerate(lines) if line.startswith("wrong    API ")]
    assert lines[api + 1].strip().startswith("do: ")
    assert lines[-1] == "  bulk-delete check --base-url http://127.0.0.1:1"
    assert done.returncode == 5


def test_first_files(command: Command, sandbox: Running) -> None:
    """`init` writes a configuration that changes nothing, and a job that runs as it is."""
    done = command.run("init", CEKURA_API_KEY="")
    assert done.returncode == 0, done.stderr
    folder = command.home / ".config/bulk-delete"
    config, job = folder / "config.toml", folder / "first.toml"
    assert [path.stat().st_mode & 0o777 for path in (folder, config, job)] == [0o700, 0o600, 0o600]
    assert load({}, config, {}, command.home) == Settings()
    assert read_job_file(job).name == "first"
    for step in ("export CEKURA_API_KEY=", "bulk-delete check ", f"bulk-delete plan {job} "):
        assert f"  {step}" in done.stdout
    write_csv(folder / "runs.csv", PAIRS)
    with sandbox(World.of(PAIRS)) as api:
        assert command.run("check", "--base-url", api.url).returncode == 0
        ran = command.run("run", job, "--yes", "--base-url", api.url)
        assert api.left == set[Pair]()
    assert ran.returncode == 0, ran.stderr


def test_no_file_is_overwritten(command: Command) -> None:
    """A second `init` ends with 2 and changes nothing; with --force the old ones are kept."""
    folder = command.home / "mine"
    folder.mkdir()
    (folder / "first.toml").write_text("mine")
    done = command.run("init", "--dir", folder)
    assert done.returncode == 2
    assert "stays as it is" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["first.toml"]
    done = command.run("init", "--dir", folder, "--force")
    assert done.returncode == 0, done.stderr
    assert f"bulk-delete check --config {folder / 'config.toml'}" in done.stdout
    (kept,) = folder.glob("first.toml.*")
    assert kept.read_text() == "mine"
    assert read_job_file(folder / "first.toml").inputs == ("runs.csv",)


def test_init_where_nothing_can_be_written(command: Command) -> None:
    """A place that cannot be written to ends with 2, and the way out is told."""
    (command.home / ".config").write_text("a file")
    done = command.run("init")
    assert done.returncode == 2
    assert "--dir" in done.stderr


def test_init_writes_where_the_config_is_looked_for(command: Command) -> None:
    """BULK_DELETE_CONFIG says where the configuration goes, and check finds it there."""
    path = command.home / "etc/deletion.toml"
    environ = {"BULK_DELETE_CONFIG": str(path)}
    missing = command.run("plan", "runs.csv", **environ)
    assert "bulk-delete init" in missing.stderr
    done = command.run("init", **environ)
    assert done.returncode == 0, done.stderr
    assert "export" not in done.stdout
    _, told = checked(command, "--offline", **environ)
    assert f"{path} (by BULK_DELETE_CONFIG)" in told["configuration"]["found"]


def completed(command: Command, *words: str, shell: str = "bash", **environ: str) -> list[str]:
    """Ask for completions as a shell's script does; return the lines of the answer."""
    asked = {
        "_BULK_DELETE_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(["bulk-delete", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = command.run(**asked, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def jobs(command: Command) -> None:
    for name in ("nightly", "nice", "weekly"):
        command.folder(name).mkdir(parents=True)
        (command.folder(name) / "journal.jsonl").touch()
    (command.state / "bulk-delete" / "never-started").mkdir()


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("verb", ["resume", "verify", "audit"])
def test_jobs_are_completed(command: Command, verb: str) -> None:
    """JOB is completed from the jobs of the state folder, whichever that is."""
    assert completed(command, verb, "ni") == ["plain,nice", "plain,nightly"]
    assert completed(command, verb, "") == ["plain,nice", "plain,nightly", "plain,weekly"]
    assert completed(command, verb, "./ni") == ["file,./ni"]
    other = command.home / "other"
    (other / "old").mkdir(parents=True)
    (other / "old" / "journal.jsonl").touch()
    assert completed(command, verb, "--state-dir", str(other), "") == ["plain,old"]
    assert completed(command, verb, "", BULK_DELETE_STATE_DIR=str(other)) == ["plain,old"]
    assert completed(command, verb, "", BULK_DELETE_LIMITS_RAT="1") == ["file,"]


def test_files_and_words_are_completed(command: Command) -> None:
    """Inputs and files are the shell's to complete; flags and their words come from us."""
    assert completed(command, "run", "ru") == ["file,ru"]
    assert completed(command, "run", "--protect", "ke") == ["file,ke"]
    assert completed(command, "run", "--state-dir", "s") == ["dir,s"]
    assert completed(command, "run", "--on-bad-row", "") == ["plain,fail", "plain,skip"]
    assert completed(command, "run", "--ver") == ["plain,--verify"]
    assert completed(command, "com") == ["plain,completion"]
    assert completed(command, "completion", "z") == ["plain,zsh"]


@pytest.mark.usefixtures("jobs")
def test_completion_loads_nothing_large(command: Command) -> None:
    """A press of the key waits for no NumPy, no aiohttp and no structlog."""
    done = command.run(
        _BULK_DELETE_COMPLETE="bash_complete",
        COMP_WORDS="bulk-delete resume ni",
        COMP_CWORD="2",
        PYTHONPROFILEIMPORTTIME="1",
    )
    assert "plain,nightly" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "bulk_delete.cli.app" in loaded
    assert not loaded & {"numpy", "aiohttp", "structlog", "asyncio", "rich"}


@pytest.mark.usefixtures("jobs")
def test_bash_completes_with_the_script(command: Command) -> None:
    """The script makes bash itself complete a job's name."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    program = command.home / "bin" / "bulk-delete"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m bulk_delete "$@"\n')
    program.chmod(0o755)
    lines = (
        'eval "$(bulk-delete completion bash)"',
        "complete -p bulk-delete",
        "COMP_WORDS=(bulk-delete resume ni) COMP_CWORD=2",
        "_bulk_delete_completion bulk-delete",
        'echo "${COMPREPLY[@]}"',
    )
    done = subprocess.run(
        [bash, "--norc", "-c", "compopt() { :; }\n" + "\n".join(lines)],
        capture_output=True,
        text=True,
        env={**command.environ, "PATH": f"{program.parent}:{command.environ['PATH']}"},
        cwd=Path(__file__).parents[2],
        timeout=50,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "nice nightly"
    assert "-F _bulk_delete_completion bulk-delete" in done.stdout


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --no")]
)
def test_each_shell_has_a_script(command: Command, shell: str, word: str) -> None:
    """The script speaks its shell's language, and asks us by our variable."""
    done = command.run("completion", shell)
    assert done.returncode == 0, done.stderr
    assert word in done.stdout
    assert f"_BULK_DELETE_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("plan", "rnus.csv"), 2, "did you mean runs.csv?"),
        (("pln", "runs.csv"), 2, "Did you mean 'plan'?"),
        (("plan", "runs.csv", "--protet", "x"), 2, "Did you mean"),
        (("audit", "nightyl"), 2, "did you mean nightly?"),
        (("verify", "nightly.csv"), 2, "did you mean nightly?"),
        (("resume", "else"), 2, "there are: nice, nightly, weekly"),
        ((), 2, "bulk-delete plan runs.csv"),
        (("plan",), 2, "bulk-delete plan --help"),
    ],
)
@pytest.mark.usefixtures("jobs")
def test_first_mistakes_come_with_the_cure(
    command: Command, words: tuple[str, ...], code: int, told: str
) -> None:
    """A wrong name, a wrong flag and no word at all end with what was meant, or what to type."""
    write_csv(command.home / "runs.csv", PAIRS)
    done = command.run(*words)
    assert done.returncode == code
    assert told in done.stderr


@pytest.mark.parametrize("verb", ["run", "resume", "verify"])
def test_without_a_key_the_next_command_is_told(command: Command, verb: str) -> None:
    """Without a key each command that needs one names the ways to give it, and check."""
    done = command.run(verb, "runs.csv", CEKURA_API_KEY="")
    assert done.returncode == 2
    assert "CEKURA_API_KEY" in done.stderr
    assert done.stderr.endswith("bulk-delete check\n")
