"""README and example files tell the truth."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from bulk_delete import errors, events
from bulk_delete.cli.app import app
from bulk_delete.config import Settings, load
from bulk_delete.report import JobState, JobStatus

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "config.example.toml").read_text(encoding="utf-8")


def test_help_in_the_readme() -> None:
    """The README's help of `run` is what the command prints on a terminal of 100 columns."""
    shown = CliRunner().invoke(app, ["run", "--help"], prog_name="bulk-delete", terminal_width=100)
    assert f"$ bulk-delete run --help\n{shown.output}```" in README


def test_every_command_is_in_the_readme() -> None:
    """The README's table names each command, and no other."""
    table = README.split("## Commands")[1].split("## Input")[0]
    assert set(re.findall(r"^\| `bulk-delete (\w+)", table, re.MULTILINE)) == set(app.commands)


@pytest.mark.parametrize("name", sorted(app.commands))
def test_every_command_has_examples(name: str) -> None:
    """Each command's help ends its text with commands to type, of its own."""
    shown = CliRunner().invoke(app, [name, "--help"], prog_name="bulk-delete").output
    examples = shown.partition("\n  Example")[2].partition("\n\n")[0]
    assert f"bulk-delete {name}" in examples


def _lines_to_type() -> list[str]:
    """Return what the README, and the help of each command, tell people to type."""
    helps = "\n".join(command.help or "" for command in app.commands.values())
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", README)
    typed = re.findall(r"`(bulk-delete [^`]*)`", README)
    lines = "\n".join([helps, *blocks]).splitlines()
    shown = [
        line.partition("  #")[0] for line in lines if re.match(r" *(\$ |.*\|)?.*bulk-delete ", line)
    ]
    return [f"bulk-delete {line.partition('bulk-delete ')[2]}" for line in [*shown, *typed]]


@pytest.mark.parametrize("line", sorted({line.strip() for line in _lines_to_type()}))
def test_what_people_are_told_to_type_exists(line: str) -> None:
    """Each command and each flag in an example is one that there is."""
    words = re.split(r"[\s|\[\]\")]+", line)[1:]
    assert words[0] in app.commands or words[0].startswith("-"), line
    command = app.commands.get(words[0], app)
    flags = {name for param in command.params for name in (*param.opts, "--help", "-h")}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= flags, line


def test_every_exit_code_is_in_the_readme() -> None:
    """The README names every exit code that the program can end with."""
    table = README.split("## Exit codes")[1].split("## The job folder")[0]
    codes = {cls.exit_code for cls in errors.Ending.__subclasses__() if cls.exit_code}
    assert codes | {0, 129, 130, 143} <= {int(code) for code in re.findall(r"\b\d+\b", table)}


def test_every_event_is_in_the_readme() -> None:
    """The README lists each event that this version writes, with all its fields."""
    table = README.split("### The journal")[1].split("Torn bytes")[0]
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    for cls in events.Event.__subclasses__():
        (row,) = [row for row in rows if f"`{cls.__struct_config__.tag}`" in row.split("|")[1]]
        assert {f"`{name}`" for name in cls.__struct_fields__} <= set(re.findall(r"`\w+`", row))


def test_the_example_names_every_setting_with_its_default(tmp_path: Path) -> None:
    """The example configuration, as it stands, changes nothing and leaves nothing out."""
    path = tmp_path / "config.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    assert load({}, path, {}, tmp_path) == Settings()
    with_all = tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", EXAMPLE))
    expected = {
        section.name: {key.name for key in dataclasses.fields(getattr(Settings(), section.name))}
        for section in dataclasses.fields(Settings)
    }
    assert {section: set(keys) for section, keys in with_all.items()} == expected


def test_every_key_of_a_status_is_in_the_readme() -> None:
    """The README names each key of `status --json`, and each state that a job may be in."""
    section = README.split("## Steering and status")[1].split("## When a call fails")[0]
    keys = {key.name for key in dataclasses.fields(JobStatus)}
    assert keys <= set(re.findall(r"`(\w+)`", section))
    rows = " ".join(row.split("|")[1] for row in section.splitlines() if row.startswith("| "))
    assert set(get_args(JobState)) <= set(re.findall(r"\w+", rows))
