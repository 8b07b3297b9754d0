"""Job files: what they say, what is refused, and where their settings stand among the others."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bulk_delete.config import (
    Factor,
    Given,
    Input,
    JobFile,
    Limits,
    Log,
    Rate,
    Retry,
    Seconds,
    Settings,
    load,
    read_job_file,
)
from bulk_delete.config.dates import dated
from bulk_delete.errors import InvalidInput

FINGERPRINT = "3f0a" * 16
JOB = '[job]\ninputs = ["runs.csv"]\n'


def job_file(folder: Path, text: str, name: str = "nightly.toml") -> JobFile:
    path = folder / name
    path.write_text(text)
    return read_job_file(path)


def refusal(folder: Path, text: str, name: str = "nightly.toml") -> str:
    with pytest.raises(InvalidInput) as caught:
        job_file(folder, text, name)
    return caught.value.reason


def test_a_job_file_says_what_and_how(tmp_path: Path) -> None:
    """All that `[job]` can say is taken, and each section of the configuration is."""
    file = job_file(
        tmp_path,
        f"""
        [job]
        name = "clean-up"
        description = "What the nightly tests leave"
        inputs = ["a.csv", "more/*.csv", "-"]
        time_zone = "Europe/Berlin"
        expect = "{FINGERPRINT}"
        skip_failed = true
        confirm = false
        verify = true
        [api]
        base_url = "https://staging.example.com"
        [limits]
        rate = "2/s"
        [retry]
        attempts = 2
        [guards]
        max_runs = 10
        max_growth = 3
        [input]
        require = "rows"
        [log]
        interval = "9s"
        """,
    )
    assert (file.name, file.description) == ("clean-up", "What the nightly tests leave")
    assert file.inputs == ("a.csv", "more/*.csv", "-")
    assert str(file.time_zone) == "Europe/Berlin"
    assert file.expect == FINGERPRINT
    assert (file.skip_failed, file.confirm, file.verify) == (True, False, True)
    settings = file.settings
    assert settings.api.base_url == "https://staging.example.com"
    assert settings.limits == Limits(rate=Rate(2))
    assert settings.retry == Retry(attempts=2)
    assert (settings.guards.max_runs, settings.guards.max_growth) == (10, Factor(3))
    assert settings.input == Input(require="rows")
    assert settings.log == Log(interval=Seconds(9))


def test_a_short_job_file(tmp_path: Path) -> None:
    """Inputs are enough: the file's stem names the job, it is asked, and nothing else changes."""
    file = job_file(tmp_path, JOB)
    assert file.name == "nightly"
    assert (file.skip_failed, file.confirm, file.verify) == (False, True, False)
    assert file.settings == Settings()


def test_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    """Relative paths of a job file are seen from its folder; absolute ones and ~ stay."""
    guards = (
        '[guards]\nprotect = "keep.csv"\n[api]\nca_file = "/ca.pem"\n[state]\ndir = "~/state"\n'
    )
    settings = job_file(tmp_path, JOB + guards).settings
    assert settings.guards.protect == tmp_path / "keep.csv"
    assert settings.api.ca_file == Path("/ca.pem")
    assert settings.state.dir == Path("~/state").expanduser()


def test_a_job_file_stands_between_flag_and_environment(tmp_path: Path) -> None:
    """A flag rules over the job file, the job file over the environment and the config file."""
    file = job_file(tmp_path, JOB + '[limits]\nrate = "2/s"\nconcurrency = 2\n')
    config = tmp_path / "config.toml"
    config.write_text('[limits]\nrate = "4/s"\nconcurrency = 4\ngrace = "4s"\nsplit_calls = 4\n')
    environ = {
        "BULK_DELETE_LIMITS_RATE": "3/s",
        "BULK_DELETE_LIMITS_CONCURRENCY": "3",
        "BULK_DELETE_LIMITS_GRACE": "3s",
    }
    flags = {("limits", "rate"): Given("1/s", "--rate")}
    settings = load(flags, config, environ, tmp_path, file.layer)
    assert settings.limits == Limits(rate=Rate(1), concurrency=2, grace=Seconds(3), split_calls=4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["nightly.toml: a job file needs its inputs", 'inputs = ["runs.csv"]']),
        ('inputs = ["a.csv"]\n', ["a job file needs its inputs"]),
        ('job = "a.csv"\n', ["line 1: a job file needs its inputs"]),
        ('[job]\nname = "x"\n', ["line 1: a job file needs its inputs"]),
        ('[job]\ninput = ["a.csv"]\n', ["line 2: [job] has no key 'input'", "inputs"]),
        ('[job]\ninputs = "a.csv"\n', ["line 2: [job] inputs", "list of names"]),
        ("[job]\ninputs = []\n", ["line 2: [job] inputs", "list of names"]),
        ("[job]\ninputs = [1]\n", ["[job] inputs", "give a text"]),
        ('[job]\ninputs = [" "]\n', ["[job] inputs", "give a text"]),
        ('[job]\ninputs = ["a\\u0000b"]\n', ["[job] inputs", "give a text"]),
        ('[job]\ninputs = ["**/a.csv"]\n', ["[job] inputs", "a * for each folder"]),
        ('[job]\ninputs = ["{tody:%Y}"]\n', ["[job] inputs", "{today:%Y-%m-%d}"]),
        ('[job]\ninput = ["a.csv"]\ninputs = ["a"]\n', ["line 2: [job] has no key 'input'"]),
        (JOB + "confrm = false\n", ["line 3: [job] has no key 'confrm'", "mean confirm?"]),
        (JOB + 'confirm = "no"\n', ["line 3: [job] confirm: 'no'", "true or false"]),
        (JOB + "verify = 1\n", ["line 3: [job] verify: 1", "true or false"]),
        (JOB + 'expect = "3f0a"\n', ["line 3: [job] expect", "64 hex digits"]),
        (JOB + "expect = 5\n", ["line 3: [job] expect", "64 hex digits"]),
        (JOB + 'name = "a/b"\n', ["line 3: 'a/b' cannot name a job", "[job] name"]),
        (JOB + "name = 5\n", ["line 3: [job] name: 5", "give a text"]),
        (JOB + 'time_zone = "Mars"\n', ["line 3: [job] time_zone: 'Mars'", "Europe/Berlin"]),
        (JOB + 'time_zone = "Europe"\n', ["line 3: [job] time_zone: 'Europe'", "Europe/Berlin"]),
        (JOB + 'time_zone = "../UTC"\n', ["[job] time_zone", "Europe/Berlin"]),
        (JOB + "[limit]\n", ["line 3: there is no section [limit]; did you mean limits?"]),
        (JOB + '[limits]\nrates = "1/s"\n', ["line 4: [limits] has no key 'rates'", "mean rate?"]),
        (JOB + '[limits]\nrate = "1"\n', ["line 4: [limits] rate: '1' does not fit", "10/s"]),
        (JOB + "[guards]\nprotect = 5\n", ["line 4: [guards] protect: 5", "give a text"]),
        (JOB + '[guards]\nprotect = ""\n', ["line 4: [guards] protect: ''", "give a text"]),
        ("[job\n", ["not valid TOML", "line 1"]),
    ],
)
def test_a_job_file_of_the_wrong_form(tmp_path: Path, text: str, words: list[str]) -> None:
    """A mistake is refused by file, line, section and key, with what it should look like."""
    told = refusal(tmp_path, text)
    assert told.startswith(str(tmp_path / "nightly.toml"))
    for word in words:
        assert word in told


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('key_command = "curl https://example.com"', ["BULK_DELETE_API_KEY_COMMAND"]),
        ('key_file = "/run/secrets/cekura"', ["BULK_DELETE_API_KEY_FILE"]),
        ('key = "hunter2"', ["[api] has no key 'key'"]),
    ],
)
def test_the_key_is_not_in_a_job_file(tmp_path: Path, line: str, words: list[str]) -> None:
    """Neither the key nor the place of it nor a command for it may stand in a job file."""
    told = refusal(tmp_path, f"{JOB}[api]\n{line}\n")
    assert "line 4" in told
    for word in words:
        assert word in told
    assert "hunter2" not in told


def test_a_file_whose_name_cannot_name_a_job(tmp_path: Path) -> None:
    """A stem that is no job's name is refused, unless the file names the job."""
    told = refusal(tmp_path, JOB, "night job.toml")
    assert "'night job' cannot name a job" in told
    assert job_file(tmp_path, JOB + 'name = "night"\n', "night job.toml").name == "night"


def test_a_wrong_value_is_refused_where_a_flag_rules_too(tmp_path: Path) -> None:
    """All of a job file is looked at, as it is read on other nights without the flag."""
    assert "[limits] rate" in refusal(tmp_path, JOB + '[limits]\nrate = "x"\n')


# Dates in names


NOW = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("runs.csv", "runs.csv"),
        ("runs-{today:%Y-%m-%d}.csv", "runs-2026-03-01.csv"),
        ("{yesterday:%Y}/{yesterday:%m}/{yesterday:%d}.csv", "2026/02/28.csv"),
        ("{today:%Y%m%dT%H%M%S}", "20260301T040506"),
        ("{yesterday:%Y-%j} {today:%G-W%V-%u} {today:%y%%}", "2026-059 2026-W09-7 26%"),
        ("{{today:%Y}}", "{today:%Y}"),
        ("100%-{{x}}-*.csv", "100%-{x}-*.csv"),
        ("{today:of %Y}", "of 2026"),
    ],
)
def test_dates_are_put_into_names(name: str, taken: str) -> None:
    """Dates stand in braces with the codes of strftime; doubled braces stand for braces."""
    assert dated(name, NOW) == taken


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("{today}", "{today:%Y-%m-%d}"),
        ("{tomorrow:%Y}", "'{tomorrow:%Y}' is no date"),
        ("{today:}", "is no date"),
        ("{", "is no date"),
        ("a}b", "is no date"),
        ("{today:{%Y}}", "is no date"),
        ("{today:%A}", "'%A' in '{today:%A}' is no part of a date: there are %Y"),
        ("{today:%-d}", "'%-'"),
        ("{today:%Y%}", "'%'"),
        ("{today:%\n}", "is no part of a date"),
    ],
)
def test_braces_that_are_no_date(name: str, word: str) -> None:
    """Other braces, and codes that are words or that no other system knows, are refused."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at below
        dated(name, NOW)
    assert word in str(caught.value)


@pytest.fixture
def in_tokyo() -> Iterator[None]:
    """Have this host in Tokyo."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize(
    ("zone", "taken"),
    [
        ("", ("2026-03-30", "2026-03-29 08")),
        ('time_zone = "UTC"', ("2026-03-29", "2026-03-28 23")),
        ('time_zone = "Europe/Berlin"', ("2026-03-30", "2026-03-29 01")),
    ],
)
def test_a_day_is_that_of_a_place(tmp_path: Path, zone: str, taken: tuple[str, str]) -> None:
    """Days are the host's, or those of `time_zone`; yesterday's hour is today's, however long."""
    inputs = 'inputs = ["{today:%Y-%m-%d}", "{yesterday:%Y-%m-%d %H}"]'
    file = job_file(tmp_path, f"[job]\n{inputs}\n{zone}\n")
    assert file.inputs_at(datetime(2026, 3, 29, 23, 30, tzinfo=UTC)) == taken
