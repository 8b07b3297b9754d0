"""Settings: how each is written, where it is found, what is refused; and where the key is."""

import contextlib
import dataclasses
import datetime as dt
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from bulk_delete.config import (
    Api,
    ApiKey,
    DayTime,
    Factor,
    Given,
    Guards,
    HookUrl,
    Input,
    Layer,
    Limits,
    Log,
    MaxFailures,
    Rate,
    Retry,
    Seconds,
    Settings,
    Window,
    ZoneName,
    chosen,
    config_place,
    find_key,
    is_loopback,
    load,
    parse_base_url,
    parse_rate,
    parse_seconds,
    settings_of,
)
from bulk_delete.config.settings import parse_count, parse_factor, parse_max_failures
from bulk_delete.config.times import parse_day_time, parse_windows, parse_zone
from bulk_delete.config.watch import (
    Addresses,
    ExitCodes,
    Occasions,
    parse_addresses,
    parse_exit_codes,
    parse_hook,
    parse_metrics_file,
    parse_occasions,
)
from bulk_delete.errors import InvalidInput

ARABIC_3 = "\N{ARABIC-INDIC DIGIT THREE}"


def flags(**values: object) -> Layer:
    """Make a layer of flags: `limits__rate="1/s"` stands for --rate 1/s."""
    return {
        (name.split("__")[0], name.split("__")[1]): Given(value, f"--{name.split('__')[1]}")
        for name, value in values.items()
    }


@dataclasses.dataclass(frozen=True)
class Place:
    """A home without any file in it yet."""

    home: Path

    def file(self, text: str, name: str = ".config/bulk-delete/config.toml") -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def load(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        flags: Layer | None = None,
        config: Path | None = None,
    ) -> Settings:
        return load(flags or {}, config, environ or {}, self.home)

    def refusal(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        flags: Layer | None = None,
        config: Path | None = None,
    ) -> str:
        with pytest.raises(InvalidInput) as caught:
            self.load(environ, flags=flags, config=config)
        return caught.value.reason


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# How values are written


@pytest.mark.parametrize(
    ("text", "rate", "per_second"),
    [
        ("10/s", Rate(10), 10),
        ("600/m", Rate(600, 60), 10),
        ("5000/h", Rate(5000, 3600), 5000 / 3600),
        ("0.5/s", Rate(0.5), 0.5),
        (" 1 / s ", Rate(1), 1),
        ("1000000/s", Rate(1_000_000), 1_000_000),
    ],
)
def test_a_rate_is_calls_per_time(text: str, rate: Rate, per_second: float) -> None:
    """A rate is a number of calls per second, minute or hour."""
    assert parse_rate(text) == rate
    assert rate.per_second == pytest.approx(per_second)


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ("10/s", "5/s", "5/s"),
        ("10/s,5000/h", "20/s", "20/s,5000/h"),
        ("10/s,5000/h", "20/s,9000/h", "20/s,9000/h"),
        ("10/s,300/m,5000/h", "20/s,9000/h", "20/s,300/m,9000/h"),
        ("600/m", "20/s", "20/s"),
        ("10/s,300/m,5000/h", "100/m", "100/m,5000/h"),
        ("10/s,300/m", "1000/h", "1000/h"),
    ],
)
def test_a_changed_rate_keeps_the_longer_limits(before: str, given: str, after: str) -> None:
    """Another rate leaves those longer limits as they are that it does not name."""
    assert parse_rate(before).changed_to(parse_rate(given)) == parse_rate(after)


NO_TEXT: list[object] = [True, None, [], {}]
NO_UNIT = ["", "10", "10/", "/s", "10s", "10/d", "10/S", "10/s/s", "10 per s"]
NO_RATE = ["-1/s", "+1/s", "1e3/s", ".5/s", "5./s", "1_0/s", "nan/s", "inf/s"]
ABSURD_RATES = ["0/s", "0.0/m", "1000001/s", "9" * 400 + "/s"]


@pytest.mark.parametrize("value", [*NO_UNIT, *NO_RATE, *ABSURD_RATES, *NO_TEXT, 10, 10.0])
def test_what_is_no_rate_is_refused(value: object) -> None:
    """No unit, no number, zero and the absurd are refused, with an example of a rate."""
    with pytest.raises(ValueError, match="as 10/s, 600/m or 5000/h"):
        parse_rate(value)


@effort(max_examples=100, deadline=None)
@given(st.integers(1, 10**6), st.sampled_from("smh"))
@example(count=1_000_000, unit="h")
def test_a_rate_is_shown_as_it_can_be_given(count: int, unit: str) -> None:
    """What is shown of a rate is the same rate when it is read again."""
    rate = parse_rate(f"{count}/{unit}")
    assert parse_rate(str(rate)) == rate


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("250ms", 0.25),
        ("20s", 20),
        ("15m", 900),
        ("2h", 7200),
        ("1.5h", 5400),
        ("7", 7),
        (" 7 s ", 7),
        (7, 7),
        (0.25, 0.25),
    ],
)
def test_a_time_is_a_number_with_a_unit(value: object, seconds: float) -> None:
    """A time is milliseconds, seconds, minutes or hours, or a number of seconds."""
    assert parse_seconds(value) == pytest.approx(seconds)


NO_TIME = ["", "s", "-1s", "+1s", "1d", "1 hour", "1h30m", "1:30", "1e3", "1_0s", "nan", "inf"]
ABSURD_TIMES = ["0", "0s", "0ms", "99999999s", 0, -1, 0.0, float("nan"), float("inf")]


@pytest.mark.parametrize("value", [*NO_TIME, *ABSURD_TIMES, *NO_TEXT])
def test_what_is_no_time_is_refused(value: object) -> None:
    """Zero, a sign, an unknown unit and what is no number are refused, with an example."""
    with pytest.raises(ValueError, match="as 20s, 15m, 2h or a number of seconds"):
        parse_seconds(value)


@pytest.mark.parametrize(
    ("value", "limit", "shown"),
    [
        ("20%", MaxFailures(share=0.2), "20%"),
        (" 12.5 % ", MaxFailures(share=0.125), "12.5%"),
        ("0%", MaxFailures(share=0.0), "0%"),
        ("100%", MaxFailures(share=1.0), "100%"),
        ("50", MaxFailures(count=50), "50"),
        (50, MaxFailures(count=50), "50"),
        ("0", MaxFailures(count=0), "0"),
    ],
)
def test_a_failure_limit_is_a_share_or_a_number(
    value: object, limit: MaxFailures, shown: str
) -> None:
    """A limit with a per cent sign is a share, without one a number of runs; it is shown alike."""
    assert parse_max_failures(value) == limit
    assert str(limit) == shown


@pytest.mark.parametrize(
    "value", ["", "%", "101%", "-1%", "-1", "0.2", 0.2, "20 %%", "ten", True, None, [], ARABIC_3]
)
def test_what_is_no_failure_limit_is_refused(value: object) -> None:
    """A share above all, a bare fraction and what is no number are refused, with an example."""
    with pytest.raises(ValueError, match="as 20%, or a number of runs"):
        parse_max_failures(value)


def test_a_count_is_a_whole_number_from_one() -> None:
    """A count is a whole number above zero, as a number or as text."""
    assert [parse_count(value) for value in (1, "1", " 8 ", 2**63)] == [1, 1, 8, 2**63]


@pytest.mark.parametrize(
    "value", ["", "0", 0, -1, "-1", "+1", "1.0", 1.0, "1_000", "1e3", ARABIC_3, True, None, 2**64]
)
def test_what_is_no_count_is_refused(value: object) -> None:
    """Zero, a sign, a point, an underscore and what is no number are refused."""
    with pytest.raises(ValueError, match="give a whole number from 1 up"):
        parse_count(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("05:00", "05:00"),
        (" 5:00 ", "05:00"),
        ("00:00", "00:00"),
        ("23:59 Europe/Berlin", "23:59 Europe/Berlin"),
    ],
)
def test_a_time_of_day_may_name_its_zone(value: str, shown: str) -> None:
    """A time of day is hours and minutes, with or without a zone, and shown alike."""
    assert str(parse_day_time(value)) == shown
    assert parse_day_time(shown) == parse_day_time(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("24:00", "midnight as 00:00"),
        ("25:00", "no time 25:00"),
        ("05:60", "no time 05:60"),
        ("5", "as 05:00"),
        ("05:00:00", "as 05:00"),
        ("5am", "as 05:00"),
        (dt.time(5), "as 05:00"),
        ("05:00 Europe/Berln", "did you mean Europe/Berlin?"),
        ("05:00 Berlin", "did you mean Europe/Berlin?"),
        ("05:00 Nowhere", "no time zone 'Nowhere'"),
        ("05:00 Europe", "no time zone 'Europe'"),
        ("05:00 ../../etc/passwd", "no time zone"),
    ],
)
def test_what_is_no_time_of_day_is_refused(value: object, reason: str) -> None:
    """A time that no clock shows, and a zone that nobody knows, are refused with the reason."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_day_time(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("22:00-06:00 Europe/Berlin", ["22:00-06:00 Europe/Berlin"]),
        ("22:00 - 6:00, 12:00-13:00 UTC", ["22:00-06:00", "12:00-13:00 UTC"]),
        (["22:00-06:00", "00:00-24:00"], ["22:00-06:00", "00:00-24:00"]),
        ([], []),
    ],
)
def test_windows_are_a_list_or_have_commas_between(value: object, shown: list[str]) -> None:
    """Windows are given as a list or as one text, and shown as they can be given."""
    assert [str(window) for window in parse_windows(value)] == shown
    assert parse_windows(shown) == parse_windows(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("22:00-22:00", "a whole day as 00:00-24:00"),
        ("24:00-06:00", "opens at 00:00"),
        ("22:00-25:00", "no time 25:00"),
        ("22:00", "a window as 22:00-06:00"),
        ("22:00-06:00,", "a window as 22:00-06:00"),
        ("22-6", "a window as 22:00-06:00"),
        ("22:00-06:00 Mars/Phobos", "no time zone 'Mars/Phobos'"),
        ([1], "a list of windows"),
        (7, "a list of windows"),
    ],
)
def test_what_is_no_window_is_refused(value: object, reason: str) -> None:
    """An empty window, one of no known form or zone is refused with the reason."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_windows(value)


def test_a_machine_without_time_zones_takes_those_of_tzdata() -> None:
    """Where the system has no time zones, the package that comes along knows them."""
    script = (
        "from bulk_delete.config.times import clock_of, parse_zone\n"
        "print(clock_of(parse_zone('Europe/Berlin'))(0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONTZPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "3600\n"


def test_the_schedule_is_found_everywhere(place: Place) -> None:
    """Windows come as a list from a file, as a text from the environment and from a flag."""
    place.file('[schedule]\nwindows = ["22:00-06:00 UTC"]\nmax_time = "2h"\nuntil = "05:00"\n')
    told = place.load().schedule
    assert told.windows == parse_windows("22:00-06:00 UTC")
    assert told.max_time == Seconds(7200)
    assert told.until == parse_day_time("05:00")
    environ = {"BULK_DELETE_SCHEDULE_WINDOWS": "01:00-02:00,03:00-04:00"}
    assert len(place.load(environ).schedule.windows) == 2
    given = flags(schedule__windows="05:00-06:00", schedule__timezone="Asia/Tokyo")
    assert place.load(environ, flags=given).schedule.windows == parse_windows("05:00-06:00")
    assert "--windows: 'soon' does not fit" in place.refusal(flags=flags(schedule__windows="soon"))


def test_a_factor_is_a_number_from_one() -> None:
    """How many times as many is a number from 1 up, as a number or as text."""
    assert [parse_factor(value) for value in (1, "1", " 2.5 ", 3.0)] == [1, 1, 2.5, 3]


@pytest.mark.parametrize(
    "value", ["", "0", 0.9, -1, "3x", "1e3", "nan", "9" * 400, ARABIC_3, True, None, []]
)
def test_what_is_no_factor_is_refused(value: object) -> None:
    """Less than 1, a unit, the absurd and what is no number are refused."""
    with pytest.raises(ValueError, match="from 1 up, as 3 or"):
        parse_factor(value)


@effort(max_examples=200, deadline=None)
@given(
    st.sampled_from(
        [
            parse_rate,
            parse_seconds,
            parse_max_failures,
            parse_count,
            parse_base_url,
            parse_day_time,
            parse_windows,
            parse_zone,
            parse_factor,
            parse_base_url,
        ]
    ),
    st.one_of(
        st.text(max_size=20),
        st.text(st.sampled_from("0123456789.%/smh:-+eE[]@?# htp"), max_size=16),
        st.lists(st.text(st.sampled_from("0123456789:- UTC"), max_size=16), max_size=2),
        st.text(st.sampled_from("htps:/[]@?#.1"), max_size=16).map("https://".__add__),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.none(),
        st.lists(st.integers(), max_size=2),
        st.dates(),
    ),
)
def test_a_value_is_read_or_refused(parser: Any, value: object) -> None:
    """Whatever is given, a parser returns a value or raises ValueError, and never another error."""
    with contextlib.suppress(ValueError):
        assert parser(value) is not None


# The base URL


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://api.cekura.ai", "https://api.cekura.ai"),
        ("https://api.cekura.ai/", "https://api.cekura.ai"),
        ("https://api.cekura.ai//", "https://api.cekura.ai"),
        ("https://host:8443/some/path/", "https://host:8443/some/path"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_a_base_url_is_https_or_loopback(given: str, taken: str) -> None:
    """A base URL is https to anywhere or http to this machine, without slashes at its end."""
    assert parse_base_url(given) == taken


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://api.cekura.ai", "unencrypted"),
        ("http://10.0.0.1", "unencrypted"),
        ("http://0.0.0.0", "unencrypted"),
        ("http://127.0.0.1.example.com", "unencrypted"),
        ("http://localhost.example.com", "unencrypted"),
        ("http://example.com/127.0.0.1", "unencrypted"),
        ("http://[::2]", "unencrypted"),
        ("https://api.cekura.ai/\x9b1m", "give a URL"),
        ("https://api.cekura.ai/\u202e", "give a URL"),
        ("https://user:password@api.cekura.ai", "leave user"),
        ("https://user@api.cekura.ai", "leave user"),
        ("https://@api.cekura.ai", "leave user"),
        ("http://localhost@example.com", "leave user"),
        ("https://api.cekura.ai/?a=b", "query"),
        ("https://api.cekura.ai/?", "query"),
        ("https://api.cekura.ai?", "query"),
        ("https://api.cekura.ai/#top", "fragment"),
        ("https://api.cekura.ai/#", "fragment"),
        ("api.cekura.ai", "give a URL"),
        ("//api.cekura.ai", "give a URL"),
        ("ftp://api.cekura.ai", "give a URL"),
        ("file:///etc/passwd", "give a URL"),
        ("https://", "give a URL"),
        ("https:///path", "give a URL"),
        ("https://:443", "give a URL"),
        ("", "give a URL"),
        (" https://api.cekura.ai", "give a URL"),
        ("https://api.cekura.ai\n", "give a URL"),
        ("https://api.cekura.ai/a b", "give a URL"),
        ("https://api.cekura.ai:65536", "Port"),
        ("https://api.cekura.ai:https", "Port"),
        ("https://[::1", "Invalid IPv6"),
        (None, "give a URL"),
        (443, "give a URL"),
    ],
)
def test_a_base_url_that_would_lead_astray_is_refused(url: object, reason: str) -> None:
    """No key travels unencrypted, and nothing stands in the URL that would change the endpoint."""
    with pytest.raises(ValueError, match=reason):
        parse_base_url(url)


def test_the_scheme_is_written_small() -> None:
    """The scheme comes out in small letters, since the client turns encryption on by it."""
    assert parse_base_url("HTTPS://api.cekura.ai").startswith("https://")
    assert parse_base_url("Http://localhost").startswith("http://")


def test_loopback_is_this_machine_alone() -> None:
    """Only the loopback addresses and the name localhost are this machine."""
    here = ["127.0.0.1", "127.255.0.1", "::1", "localhost"]
    there = ["0.0.0.0", "::", "10.0.0.1", "example.com", "127.0.0.1.example.com", "", "localhost."]  # noqa: S104 - no socket is bound
    assert [is_loopback(host) for host in here] == [True] * len(here)
    assert [is_loopback(host) for host in there] == [False] * len(there)


# Where settings come from


def test_the_defaults_are_those_of_the_contract(place: Place) -> None:
    """With nothing set anywhere, the settings are the documented defaults."""
    settings = place.load()
    assert settings == Settings()
    assert settings.api == Api(base_url="https://api.cekura.ai", timeout=Seconds(60))
    assert settings.limits == Limits(
        rate=Rate(10),
        concurrency=8,
        grace=Seconds(20),
        max_failures=MaxFailures(share=0.2),
        max_failures_after=20,
    )
    assert settings.retry.attempts == 5
    assert settings.guards == Guards(max_runs=None, max_results=None)
    assert settings.input == Input(on_bad_row="fail", result_column="result_id")
    assert settings.log == Log(format="text")


def test_the_first_place_wins(place: Place) -> None:
    """A flag rules over our variable, that over the vendor's, that over the files, ours first."""
    place.file('api_key = "k"\napi_url = "https://vendor-file"\n', ".cekura/config.toml")
    urls = [place.load().api.base_url]
    place.file('[api]\nbase_url = "https://file"\n')
    urls.append(place.load().api.base_url)
    environ = {"CEKURA_API_URL": "https://vendor-variable"}
    urls.append(place.load(environ).api.base_url)
    environ["BULK_DELETE_API_BASE_URL"] = "https://variable"
    urls.append(place.load(environ).api.base_url)
    flag = flags(api__base_url="https://flag")
    urls.append(place.load(environ, flags=flag).api.base_url)
    assert urls == [
        "https://vendor-file",
        "https://file",
        "https://vendor-variable",
        "https://variable",
        "https://flag",
    ]


def test_places_are_mixed_key_by_key(place: Place) -> None:
    """A section is put together key by key, each from the first place that has it."""
    place.file('[limits]\nrate = "1/s"\nconcurrency = 2\ngrace = "3s"\n')
    settings = place.load({"BULK_DELETE_LIMITS_CONCURRENCY": "5"}, flags=flags(limits__rate="7/m"))
    assert settings.limits == Limits(rate=Rate(7, 60), concurrency=5, grace=Seconds(3))
    assert settings.retry == Retry()


def all_settings() -> dict[tuple[str, str], Any]:
    return {
        (section, key): kind
        for section, table in get_type_hints(Settings).items()
        for key, kind in get_type_hints(table).items()
    }


def sample(name: tuple[str, str], kind: Any) -> tuple[str, object]:
    """Return a text that is no default, and the value that it stands for."""
    if name == ("api", "base_url"):
        return "https://sample", "https://sample"
    if name == ("metrics", "file"):
        return "/sample/{job}.prom", Path("/sample/{job}.prom")
    if type(None) in get_args(kind):
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return get_args(kind)[-1], get_args(kind)[-1]
    default = getattr(getattr(Settings(), name[0]), name[1])
    samples: dict[Any, tuple[str, object]] = {
        Rate: ("77/h", Rate(77, 3600)),
        Seconds: ("77ms", 0.077),
        MaxFailures: ("77", MaxFailures(count=77)),
        Factor: ("77.5", 77.5),
        int: ("77", 77),
        bool: ("false", False) if default is True else ("true", True),
        Path: ("/sample/path", Path("/sample/path")),
        str: ("sample word", "sample word"),
        DayTime: ("05:00", DayTime(300)),
        tuple[Window, ...]: ("22:00-06:00", (Window(1320, 360),)),
        ZoneName: ("Europe/Berlin", ZoneName("Europe/Berlin")),
        HookUrl: ("http://sample/path", HookUrl("http://sample/path")),
        Addresses: ("mailto://one json://two", Addresses(("mailto://one", "json://two"))),
        Occasions: ("failure, start", ("start", "failure")),
        ExitCodes: ("77, 3", (77, 3)),
    }
    return samples[kind]


@pytest.mark.parametrize("name", all_settings(), ids=".".join)
def test_every_setting_can_be_given_everywhere(place: Place, name: tuple[str, str]) -> None:
    """Every setting has a variable and a key in the file, which give the same value as a flag."""
    section, key = name
    text, value = sample(name, all_settings()[name])
    expected = dataclasses.replace(
        Settings(), **{section: dataclasses.replace(getattr(Settings(), section), **{key: value})}
    )
    assert expected != Settings()
    variable = f"BULK_DELETE_{section}_{key}".upper()
    assert place.load(flags={name: Given(text, "--flag")}) == expected
    assert place.load({variable: text}) == expected
    place.file(f'[{section}]\n{key} = "{text}"\n')
    assert place.load() == expected


EXAMPLE = Path(__file__).parent.parent / "config.example.toml"


def test_the_example_is_the_defaults(place: Place) -> None:
    """The example file can be used as it is, and then changes nothing."""
    assert place.load(config=EXAMPLE) == Settings()


def test_the_example_names_every_setting(place: Place) -> None:
    """The example names each setting: with its default, or commented out where there is none."""
    text = EXAMPLE.read_text()
    given = {(name, key) for name, keys in tomllib.loads(text).items() for key in keys}
    without_default = {
        name for name in all_settings() if getattr(getattr(Settings(), name[0]), name[1]) is None
    }
    assert given == set(all_settings()) - without_default
    path = place.file(re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE))
    named = {(name, key) for name, keys in tomllib.loads(path.read_text()).items() for key in keys}
    assert named == set(all_settings())
    settings = place.load(config=path)
    assert all(getattr(getattr(settings, name), key) is not None for name, key in named)


def test_numbers_may_be_numbers_in_a_file(place: Place) -> None:
    """TOML's own numbers are fine where a number is meant."""
    place.file("[limits]\nconcurrency = 3\nmax_failures = 50\ngrace = 1.5\n[retry]\nbase = 2\n")
    settings = place.load()
    assert settings.limits.concurrency == 3
    assert settings.limits.max_failures == MaxFailures(count=50)
    assert settings.limits.grace == 1.5
    assert settings.retry.base == Seconds(2)


def test_the_config_file_is_looked_for_in_order(place: Place) -> None:
    """--config rules over its variable, that over the XDG folder, that over ~/.config."""

    def rate(environ: Mapping[str, str]) -> float:
        return place.load(environ).limits.rate.count

    place.file('[limits]\nrate = "1/s"\n')
    assert rate({}) == 1
    place.file('[limits]\nrate = "2/s"\n', "xdg/bulk-delete/config.toml")
    environ = {"XDG_CONFIG_HOME": str(place.home / "xdg")}
    assert rate(environ) == 2
    environ["BULK_DELETE_CONFIG"] = str(place.file('[limits]\nrate = "3/s"\n', "c.toml"))
    assert rate(environ) == 3
    flag = place.file('[limits]\nrate = "4/s"\n', "d.toml")
    assert place.load(environ, config=flag).limits.rate.count == 4


def test_the_current_folder_is_no_place_for_settings(place: Place) -> None:
    """A config file in the current folder is not read by itself: it might name a key command."""
    text = '[api]\nkey_command = "steal"\n'
    place.file(text, "here/config.toml")
    place.file(text, "here/bulk-delete/config.toml")
    place.file(text, "here/bulk-delete.toml")
    with contextlib.chdir(place.home / "here"):
        assert place.load({"XDG_CONFIG_HOME": ""}) == Settings()


@pytest.mark.parametrize("by_flag", [True, False])
def test_a_named_config_file_must_be_there(place: Place, *, by_flag: bool) -> None:
    """A config file that is named and missing is refused, with its path."""
    missing = place.home / "missing.toml"
    told = (
        place.refusal(config=missing)
        if by_flag
        else place.refusal({"BULK_DELETE_CONFIG": str(missing)})
    )
    assert f"no config file at {missing}" in told


def test_other_programs_variables_are_left_alone(place: Place) -> None:
    """Variables without our prefix, and empty ones of the vendor's, change nothing."""
    environ = {"PATH": "/bin", "BULK": "1", "LIMITS_RATE": "9/s", "CEKURA_API_URL": ""}
    assert place.load(environ) == Settings()


# Being watched


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        (parse_metrics_file, "metrics.txt"),
        (parse_metrics_file, 5),
        (parse_hook, "hc-ping.com/s3cr3t"),
        (parse_hook, "ftp://host/s3cr3t"),
        (parse_hook, "https://"),
        (parse_hook, "https://me:s3cr3t/x"),
        (parse_hook, "https://[s3cr3t/x"),
        (parse_hook, "https://host/s3cr3t x"),
        (parse_hook, 5),
        (parse_addresses, []),
        (parse_addresses, [5]),
        (parse_addresses, "s3cr3t"),
        (parse_occasions, "end"),
        (parse_occasions, []),
        (parse_occasions, 5),
        (parse_exit_codes, "1,x"),
        (parse_exit_codes, [-1]),
        (parse_exit_codes, 7),
    ],
)
def test_how_a_job_is_not_watched(parse: Callable[[object], object], value: object) -> None:
    """What names no metrics file, URL, occasion or exit code is refused, and not repeated."""
    with pytest.raises(ValueError, match=r"^(give|each) .*") as refused:
        parse(value)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("key", ["start", "success", "failure", "apprise"])
def test_addresses_are_not_shown(place: Place, key: str) -> None:
    """A hook's or Apprise's URL stands neither in an error nor in the settings' own words."""
    told = place.refusal({f"BULK_DELETE_NOTIFY_{key.upper()}": "s3cr3t"})
    assert told.startswith(f"BULK_DELETE_NOTIFY_{key.upper()}: the value does not fit")
    place.file(f'[notify]\n{key} = "https://host/s3cr3t"\n')
    settings = place.load()
    assert "s3cr3t" not in told + repr(settings) + str(getattr(settings.notify, key))


def test_lists_may_be_lists_in_a_file(place: Place) -> None:
    """TOML's own lists are fine where several values are meant."""
    place.file('[notify]\napprise = ["json://a"]\napprise_at = ["failure"]\nquiet_codes = [3, 7]\n')
    notify = place.load().notify
    assert notify.apprise == Addresses(("json://a",))
    assert (notify.apprise_at, notify.quiet_codes) == (("failure",), (3, 7))


# What is refused


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("BULK_DELETE_LIMITS_RATES", "did you mean BULK_DELETE_LIMITS_RATE?"),
        ("BULK_DELETE_GUARDS_MAX_RUN", "did you mean BULK_DELETE_GUARDS_MAX_RUNS?"),
        ("BULK_DELETE_CONFIGS", "did you mean BULK_DELETE_CONFIG?"),
        ("BULK_DELETE_limits_rate", ""),
    ],
)
def test_an_unknown_variable_is_refused(place: Place, variable: str, near: str) -> None:
    """A variable with our prefix that is no setting is refused, with the nearest that is one."""
    told = place.refusal({variable: "1"})
    assert f"no setting is called {variable}" in told
    assert near in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[limit]\nrate = 1\n", ["no section [limit]", "did you mean limits?"]),
        ("[qqqq]\n", ["no section [qqqq]"]),
        ('[limits]\nrates = "1/s"\n', ["[limits] has no key 'rates'", "did you mean rate?"]),
        ("[guards]\nmax_run = 1\n", ["[guards] has no key 'max_run'", "did you mean max_runs?"]),
        ('[retry]\nrate = "1/s"\n', ["[retry] has no key 'rate'"]),
        ("[limits]\nzzzz = 1\n", ["[limits] has no key 'zzzz'"]),
        ('rate = "1/s"\n', ["rate"]),
        ("limits = 5\n", ["limits"]),
        ("[[limits]]\nrate = 1\n", ["limits"]),
    ],
)
def test_an_unknown_key_is_refused(place: Place, text: str, words: list[str]) -> None:
    """A section or key that is no setting is refused by file and name, with the nearest that is."""
    path = place.file(text)
    told = place.refusal()
    assert told.startswith(str(path))
    for word in words:
        assert word in told


def test_a_mistake_is_told_with_its_line(place: Place) -> None:
    """A wrong value and an unknown name are told with the line on which they stand."""
    path = place.file('# rate = 2\n[log]\nformat = "text"\n\n[limits]\n "rate"=10\n')
    assert place.refusal().startswith(f"{path}, line 6: [limits] rate: 10 does not fit")
    place.file('[input]\nformat = "csv"\n[log]\nformt = "text"\n')
    assert place.refusal().startswith(f"{path}, line 4: [log] has no key 'formt'")
    place.file("[log]\n[ limit ] # all of them\nrate = 1\n")
    assert place.refusal().startswith(f"{path}, line 2: there is no section [limit]")
    place.file('\nlimits.rates = "1/s"\n')
    assert place.refusal().startswith(f"{path}, line 2: [limits] has no key 'rates'")
    place.file("limits = { rates = 1 }\n")
    assert place.refusal().startswith(f"{path}, line 1: [limits] has no key 'rates'")


def test_no_near_key_is_made_up(place: Place) -> None:
    """Where no setting is near, none is proposed."""
    place.file("[limits]\nzzzz = 1\n")
    assert "did you mean" not in place.refusal()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[limits]\nrate = "fast"\n', ["[limits] rate", "'fast'", "10/s"]),
        ("[limits]\nrate = 10\n", ["[limits] rate", "10", "10/s"]),
        ("[limits]\nrate = 2026-01-01\n", ["[limits] rate", "10/s"]),
        ("[limits]\nconcurrency = 0\n", ["[limits] concurrency", "0", "from 1 up"]),
        ("[limits]\nconcurrency = true\n", ["[limits] concurrency", "True", "from 1 up"]),
        ("[limits]\nconcurrency = 1.0\n", ["[limits] concurrency", "from 1 up"]),
        ('[input]\non_bad_row = "skipp"\n', ["[input] on_bad_row", "'skipp'", "fail, skip"]),
        ("[input]\non_bad_row = []\n", ["[input] on_bad_row", "fail, skip"]),
        ("[input]\nresult_column = 5\n", ["[input] result_column", "give a text"]),
        ('[input]\nrun_column = " "\n', ["[input] run_column", "give a text"]),
        ("[api]\nkey_file = 5\n", ["[api] key_file", "give a text"]),
        ('[api]\nbase_url = "http://example.com"\n', ["[api] base_url", "unencrypted"]),
        ("[api\n", ["not valid TOML"]),
        ("[api]\n[api]\n", ["not valid TOML"]),
        ("[limits]\nconcurrency = " + "9" * 5000, []),
        ("[limits]\nconcurrency = " + "[" * 20_000, []),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_value_that_does_not_fit_is_refused(place: Place, text: str, words: list[str]) -> None:
    """A wrong value is refused by file, section and key, with what it should look like."""
    path = place.file(text)
    told = place.refusal()
    assert told.startswith(str(path))
    for word in words:
        assert word in told


def test_a_wrong_value_is_told_by_where_it_stands(place: Place) -> None:
    """A value is refused in the name of its flag or variable; one that is overruled is not read."""
    assert place.refusal(flags=flags(limits__rate="x")).startswith("--rate: 'x' does not fit")
    told = place.refusal({"BULK_DELETE_LIMITS_RATE": ""})
    assert told.startswith("BULK_DELETE_LIMITS_RATE: '' does not fit")
    settings = place.load({"BULK_DELETE_LIMITS_RATE": "x"}, flags=flags(limits__rate="1/s"))
    assert settings.limits.rate == Rate(1)


def test_a_key_in_the_config_file_is_refused_unseen(place: Place) -> None:
    """The key has no place in the config file, and the refusal does not repeat it."""
    place.file('[api]\nkey = "hunter2"\n')
    told = place.refusal()
    assert "[api] has no key 'key'" in told
    assert "hunter2" not in told


def test_a_file_that_is_no_text_is_refused(place: Place) -> None:
    """A config file that is not UTF-8 is refused by name."""
    path = place.file("")
    path.write_bytes(b"\xff\xfe")
    assert place.refusal().startswith(f"{path}: cannot be read")


def test_a_password_in_a_url_is_not_repeated(place: Place) -> None:
    """The refusal of a URL with a password in it does not show the password."""
    told = place.refusal({"CEKURA_API_URL": "https://user:hunter2@example.com"})
    assert told.startswith("CEKURA_API_URL: ")
    assert "leave user" in told
    assert "hunter2" not in told


def test_a_home_in_a_path_is_put_in(place: Place) -> None:
    """A path may start with ~, and a home that is not known is a wrong value, not a bug."""
    settings = place.load(flags=flags(api__key_file="~/key"))
    assert settings.api.key_file == Path("~/key").expanduser()
    told = place.refusal(flags=flags(api__key_file="~no-such-user-here/key"))
    assert told.startswith("--key_file: ")


# The key


def key(home: Path, api: Api | None = None, **environ: str) -> str:
    return find_key(api or Api(), environ, home).secret


def no_key(home: Path, api: Api | None = None, **environ: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        find_key(api or Api(), environ, home)
    return caught.value.reason


def printing(text: str) -> str:
    """Make a command that prints a text."""
    return shlex.join([sys.executable, "-c", "import sys; print(sys.argv[1])", text])


def test_the_key_is_looked_for_in_order(place: Place) -> None:
    """The variable rules over the key file or the key command, and those over the vendor's file."""
    place.file('api_key = "vendor-key"\n', ".cekura/config.toml")
    by_file = Api(key_file=place.file("file-key\n", "key"))
    by_command = Api(key_command=printing("command-key"))
    assert key(place.home) == "vendor-key"
    assert key(place.home, by_file) == "file-key"
    assert key(place.home, by_command) == "command-key"
    assert key(place.home, by_file, CEKURA_API_KEY="variable-key") == "variable-key"
    assert key(place.home, by_file, CEKURA_API_KEY="") == "file-key"


def test_no_key_at_all_is_told_with_the_cure(place: Place) -> None:
    """Without a key, the refusal names every place for one."""
    told = no_key(place.home)
    for word in ("no API key", "CEKURA_API_KEY", "api.key_file", "api.key_command"):
        assert word in told
    place.file('api_url = "https://x"\napi_key = ""\n', ".cekura/config.toml")
    assert no_key(place.home) == told


def test_two_places_for_the_key_are_refused(place: Place) -> None:
    """A key file and a key command together are refused, as nobody can tell which is meant."""
    api = Api(key_file=place.file("k", "key"), key_command=printing("k"))
    assert "both set" in no_key(place.home, api)


def test_a_key_file_that_cannot_be_read_is_refused(place: Place) -> None:
    """A missing key file, a folder and rubbish are refused by name."""
    missing = place.home / "missing"
    assert f"key file {missing}" in no_key(place.home, Api(key_file=missing))
    assert f"key file {place.home}" in no_key(place.home, Api(key_file=place.home))
    rubbish = place.file("", "rubbish")
    rubbish.write_bytes(b"\xff")
    assert "not UTF-8" in no_key(place.home, Api(key_file=rubbish))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (f"{sys.executable} -c 'raise SystemExit(3)'", "ended with code 3"),
        ("no-such-command-here --key", "cannot be run"),
        ("unclosed 'quote", "cannot be run"),
        (printing(""), "output of api.key_command: this is no API key"),
        (printing("two words"), "output of api.key_command: this is no API key"),
    ],
    ids=["fails", "missing", "unclosed quote", "empty", "two words"],
)
def test_a_key_command_that_fails_is_refused(place: Place, command: str, reason: str) -> None:
    """A key command that fails, is missing or prints no key is told as such."""
    assert reason in no_key(place.home, Api(key_command=command))


def test_a_key_command_runs_without_a_shell(place: Place) -> None:
    """The words of a key command are passed on as they are: nothing in them is run."""
    assert key(place.home, Api(key_command=printing("$(id)"))) == "$(id)"


@pytest.mark.parametrize(
    "text",
    ["  ", "two words", "two\nlines", "tab\tbed", "caf\u00e9", "nul\0", "del\x7f", "\ufeffk"],
)
def test_what_cannot_stand_in_a_header_is_no_key(place: Place, text: str) -> None:
    """A key is one printable ASCII word, and the refusal names its origin but never shows it."""
    for told in (
        no_key(place.home, CEKURA_API_KEY=text),
        no_key(place.home, Api(key_file=place.file(text, "key"))),
    ):
        assert "this is no API key" in told
        assert text not in told
    assert "CEKURA_API_KEY" in no_key(place.home, CEKURA_API_KEY=text)


def test_blanks_around_a_key_are_cut(place: Place) -> None:
    """The newline that files and commands end with is no part of the key."""
    assert key(place.home, CEKURA_API_KEY=" secret\r\n") == "secret"


def test_a_key_does_not_show_itself() -> None:
    """A key is printed as a short id that tells two keys apart, in no form as itself."""
    some, other = ApiKey("secret-key-5f1d9c"), ApiKey("secret-key-5f1d9d")
    for text in (str(some), repr(some), f"{some}", f"{some!r}", repr([some]), some.id):
        assert "secret" not in text
        assert some.id in text
    assert len(some.id) == 8
    assert some.id != other.id
    assert some.id == ApiKey("secret-key-5f1d9c").id


def test_several_rates_hold_together() -> None:
    """The limit of the shortest period sets the pace; the others follow, in any order given."""
    both = Rate(10, 1, also=(Rate(5000, 3600),))
    assert parse_rate("10/s,5000/h") == parse_rate(" 5000/h , 10/s ") == both
    assert str(both) == "10/s, 5000/h"
    assert parse_rate(str(both)) == both


@pytest.mark.parametrize("text", ["10/s,", ",", "10/s,20/s", "10/s;5000/h", "10/s,5000", ""])
def test_several_rates_of_the_wrong_form(text: str) -> None:
    """An empty part, a period named twice and another sign between are refused."""
    with pytest.raises(ValueError, match="give"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("rate", "calls", "seconds"),
    [
        ("10/s", 100, 10),
        ("10/s,5000/h", 5000, 500),
        ("10/s,5000/h", 5001, 3600.1),
        ("10/s,600/m,5000/h", 12_000, 2 * 3600 + 200),
        ("5000/h", 2500, 1800),
    ],
)
def test_the_time_that_calls_take(rate: str, calls: int, seconds: float) -> None:
    """A full hour is waited out before the next call."""
    assert parse_rate(rate).seconds_for(calls) == pytest.approx(seconds)


def test_the_origin_is_that_of_the_value_in_force() -> None:
    """The first place that has a setting gives its value and its origin."""
    rate = ("limits", "rate")
    first, second = {rate: Given("3/s", "--rate")}, {rate: Given("4/s", "a file")}
    other = {("limits", "grace"): Given("9s", "a variable")}
    found = chosen(first, other, second)
    assert {name: given.origin for name, given in found.items()} == {
        rate: "--rate",
        ("limits", "grace"): "a variable",
    }
    assert settings_of(first, other, second).limits.rate.count == 3


@pytest.mark.parametrize(
    ("flag", "environ", "path", "rule"),
    [
        ("f.toml", {"BULK_DELETE_CONFIG": "v.toml"}, "f.toml", "--config"),
        (None, {"BULK_DELETE_CONFIG": "v.toml"}, "v.toml", "BULK_DELETE_CONFIG"),
        (None, {"XDG_CONFIG_HOME": "/x"}, "/x/bulk-delete/config.toml", "XDG_CONFIG_HOME"),
        (None, {"XDG_CONFIG_HOME": "x"}, "/home/.config/bulk-delete/config.toml", "~/.config"),
        (None, {}, "/home/.config/bulk-delete/config.toml", "~/.config"),
    ],
)
def test_the_place_of_the_config(
    flag: str | None, environ: dict[str, str], path: str, rule: str
) -> None:
    """The place is told by one rule, also when there is no file; a relative XDG folder is none."""
    place = config_place(Path(flag) if flag else None, environ, Path("/home"))
    assert (str(place.path), place.rule) == (path, rule)
