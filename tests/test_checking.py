"""How far clocks are apart, and the first files."""

import re
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from bulk_delete.config import Given, chosen, config_place, first_config, settings_of
from bulk_delete.runner.hearing import ahead_s

ROOT = Path(__file__).parent.parent
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "after", "ahead"),
    [
        (0, 0.1, 0),  # it is any time up to a second after noon there
        (0.9, 1.0, 0),
        (1.0, 1.2, 0),
        (4.0, 4.1, 3.0),
        (-3.0, -2.5, -2.5),
        (-3.0, 0.5, 0),  # a reply that took long proves little
        (-30.0, 40.0, 0),
    ],
)
def test_only_what_is_certain_is_a_skew(before: float, after: float, ahead: float) -> None:
    """The clocks are apart by the least that the reply's second and its way allow."""
    ours = [NOON + timedelta(seconds=seconds) for seconds in (before, after)]
    assert ahead_s(NOON, ours[0], ours[1]) == ahead


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


def test_the_first_config_has_all_of_the_example() -> None:
    """The configuration that `init` writes is the example, line by line, with nothing in force."""

    def settings(text: str) -> list[str]:
        return re.findall(r"(?m)^(?:# )?(\w+ = \S+.*?) *(?:#|$)", text.partition("[api]")[2])

    example = (ROOT / "config.example.toml").read_text(encoding="utf-8")
    first = first_config()
    assert settings(first) == settings(example)
    assert len(settings(first)) > 20
    assert not re.search(r"(?m)^\w+ = ", first)
    assert max(map(len, first.splitlines())) <= 100


def test_the_wheel_has_what_init_writes(tmp_path: Path) -> None:
    """The example goes into the wheel, to where it is looked for."""
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("bulk_delete/config.example.toml").decode()
    assert text == (ROOT / "config.example.toml").read_text(encoding="utf-8")
