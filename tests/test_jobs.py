"""What lies in jobs/, and the README's example, can be used as it stands."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bulk_delete.cli.app import app
from bulk_delete.config import JobFile, read_job_file
from bulk_delete.model import Pair
from bulk_delete.sandbox import World
from tests.conftest import Command, Sandbox, write_csv, write_jsonl

Running = Callable[..., AbstractContextManager[Sandbox]]

ROOT = Path(__file__).parent.parent
JOBS = ROOT / "jobs"
CRON = JOBS / "cron"
PAGES = [ROOT / "README.md", *sorted(JOBS.rglob("*.md"))]
INDEXES = {JOBS / "README.md", JOBS / "runbooks" / "README.md"}
SCRIPTS = [CRON / "crontab", *sorted(CRON.glob("*.service"))]
FORM = ["When", "Before", "Do", "Watch", "Undo", "After"]


PAIRS = World.made(results=20, runs=200, seed=11).pairs()
ELSEWHERE = ("/srv/exports", "/var/lib/bulk-delete")
"""Places that the jobs name and this machine need not have."""


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def manifests() -> dict[str, Any]:
    """Return the manifests by their kind."""
    text = (CRON / "cronjob.yaml").read_text(encoding="utf-8")
    return {found["kind"]: found for found in yaml.safe_load_all(text)}


# Job files


def job_files() -> dict[str, str]:
    """Return the text of every job file, of the one in the manifest and the one in the README."""
    found = {shown(path): path.read_text(encoding="utf-8") for path in JOBS.rglob("*.toml")}
    for name, text in manifests()["ConfigMap"]["data"].items():
        found[f"manifest/{name}"] = text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = readme.split("## Job files")[1].split("```toml\n")[1].split("```")[0]
    return found | {"readme/jobs/nightly.toml": example}


@pytest.mark.parametrize("name", job_files())
def test_every_job_file_is_planned_and_run(command: Command, sandbox: Running, name: str) -> None:
    """Every job file loads and, given its inputs, deletes what they name and nothing protected."""
    text = job_files()[name]
    for place in ELSEWHERE:
        text = text.replace(place, str(command.home / place[1:]))
    path = command.home / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    file = read_job_file(path)
    kept = PAIRS[-20:] if file.settings.guards.protect_action == "remove" else []
    write_inputs(file, PAIRS)
    if file.settings.guards.protect:
        write_csv(file.settings.guards.protect, kept or [Pair(1, 1)])
    else:
        kept = []
    with sandbox(World.of(PAIRS)) as api:
        planned = command.run("plan", path)
        assert planned.returncode == 0, planned.stderr
        assert (file.description or "") in planned.stdout
        yes = ["--yes"] if file.confirm else []
        done = command.run("run", path, *yes, "--rate", "2000/s", "--base-url", api.url)
    assert done.returncode == 0, done.stderr
    assert api.left == set(kept)


def write_inputs(file: JobFile, pairs: list[Pair]) -> None:
    """Write the inputs of a job, some of the pairs in each."""
    names = file.inputs_at(datetime.now(UTC))
    for at, name in enumerate(names):
        path = file.path.parent / name.replace("*", "made")
        path.parent.mkdir(parents=True, exist_ok=True)
        write = write_csv if path.suffix == ".csv" else write_jsonl
        write(path, pairs[at :: len(names)])


@pytest.mark.parametrize("name", job_files())
def test_every_job_file_has_guards(tmp_path: Path, name: str) -> None:
    """No job that is there to be copied is without a limit on what it may delete."""
    path = tmp_path / "job.toml"
    path.write_text(job_files()[name])
    assert read_job_file(path).settings.guards.max_runs


def test_what_is_commented_out_may_be_put_into_force(tmp_path: Path) -> None:
    """The settings that the nightly job only offers load as they stand."""
    text = (CRON / "nightly.toml").read_text(encoding="utf-8")
    path = tmp_path / "nightly.toml"
    path.write_text(re.sub(r"(?m)^# (?=\[|\w+ = )", "", text))
    settings = read_job_file(path).settings
    assert settings.metrics.file == Path("/var/lib/prometheus/node-exporter/{job}.prom")
    assert settings.notify.start
    assert settings.notify.success
    assert settings.notify.failure


# Pages


def test_every_page_has_the_form_of_a_runbook() -> None:
    """A page says when, before, do, watch, undo and after, in this order; an index names all."""
    pages = set(JOBS.rglob("*.md")) - INDEXES
    assert {path.parent.name for path in pages} == {"cron", "one_off", "runbooks"}
    for path in pages:
        heads = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert heads == FORM, shown(path)


def test_every_link_leads_somewhere() -> None:
    """Each link of a page to another place in this repository leads to a file, and a heading."""
    for path in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            if link.startswith("http"):
                continue
            name, _, heading = link.partition("#")
            target = path.parent / name if name else path
            assert target.exists(), f"{shown(path)}: {link}"
            if heading:
                heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {head.lower().replace(" ", "-") for head in heads}
                assert heading in anchors, f"{shown(path)}: {link}"


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Find every command line of ours, on pages, in the crontab, in units and manifests."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            for line in re.findall(r"^\s*\$ (.*)$", block, re.MULTILINE):
                yield from ours(shown(path), line)
        for line in re.findall(
            r"(?<!`)`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        ):
            yield from ours(shown(path), line)
    for path in SCRIPTS:
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith(("#", "Description")):
                yield from ours(shown(path), line.replace("ExecStart=", ""))
    for job in pods():
        yield from ours("cronjob.yaml", shlex.join(job["command"]))


def ours(place: str, line: str) -> Iterator[tuple[str, list[str]]]:
    """Cut our command out of a shell's line, if it is in it."""
    if "bulk-delete " not in line or "$(" in line:
        return
    words = shlex.split(line, comments=True)
    names = [Path(word).name for word in words]
    start = names.index("bulk-delete") + 1 if "bulk-delete" in names else 0
    if start and words[start - 2 : start - 1] not in (["-o"], ["-u"]):  # the user of this name
        ends = [
            at for at, word in enumerate(words) if word in {"|", "||", "&&", ";"} and at > start
        ]
        arguments = words[start : min(ends, default=None)]
        if arguments and re.fullmatch(r"[a-z]+", arguments[0]):
            yield place, arguments


def pods() -> list[dict[str, Any]]:
    spec = manifests()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    found: list[dict[str, Any]] = spec["containers"]
    return found


def test_every_command_line_is_one() -> None:
    """Each command that is written down is one, with flags and values as the command takes them."""
    found = list(command_lines())
    assert {place for place, _ in found} >= {
        shown(path) for path in (*SCRIPTS, *PAGES) if path not in INDEXES
    }
    whole = click.Context(app, info_name="bulk-delete", **app.context_settings)
    for place, (verb, *words) in found:
        assert verb in app.commands, f"{place}: bulk-delete {verb}"
        if not words or "--help" in words:
            continue  # the command is spoken of
        try:
            app.commands[verb].make_context(verb, words, parent=whole)
        except click.ClickException as error:
            pytest.fail(f"{place}: bulk-delete {verb} {shlex.join(words)}: {error.message}")


def test_a_reviewed_plan(command: Command, sandbox: Running) -> None:
    """What the page on reviewed plans says to do, done: only the approved plan is sent."""
    shutil.copy(JOBS / "runbooks" / "reviewed.toml", command.home)
    write_csv(command.home / "runs.csv", PAIRS)
    write_csv(command.home / "keep.csv", PAIRS[:5])
    made = command.run("plan", "runs.csv", "--protect", "keep.csv", "--save", "plan.jsonl")
    (fingerprint,) = re.findall(r"fingerprint +(\w{64})", made.stdout)
    assert fingerprint in command.run("plan", "plan.jsonl").stdout
    approval = ("--expect", fingerprint, "--approved-by", "Grace Hopper", "--yes")
    there = ("--rate", "2000/s", "--base-url")
    with sandbox(World.of(PAIRS)) as api:
        done = command.run("run", "reviewed.toml", *approval, *there, api.url)
        assert done.returncode == 0, done.stderr
        assert api.left == set(PAIRS[:5])
        (command.home / "plan.jsonl").write_text('{"result_id": 1, "run_id": 2}\n')
        other = command.run("run", "reviewed.toml", *approval, *there, api.url)
        assert other.returncode == 4
    assert command.journal("reviewed")[0]["approved_by"] == "Grace Hopper"


# What starts them


def test_the_crontab() -> None:
    """Each line is a variable, or five fields and a command without a sign of per cent."""
    jobs = []
    for line in (CRON / "crontab").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if not re.fullmatch(r"[A-Z_]+=\S+", line):
            assert re.fullmatch(r"([\d*/,-]+ +){5}bulk-delete [^%]+", line), line
            jobs.append(line)
    assert len(jobs) == 3


def units(folder: Path) -> list[str]:
    """Copy the units to a folder, with a program that is there on this machine."""
    paths = []
    for path in sorted([*CRON.glob("*.service"), *CRON.glob("*.timer")]):
        text = path.read_text(encoding="utf-8")
        (folder / path.name).write_text(text.replace("/usr/local/bin/bulk-delete", "/bin/true"))
        paths.append(str(folder / path.name))
    return paths


analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)


@analyze
def test_the_units_are_sound(tmp_path: Path) -> None:
    """Systemd finds nothing wrong in the units, not even a name it does not know."""
    done = subprocess.run(
        ["systemd-analyze", "verify", *units(tmp_path)],  # noqa: S607 - wherever it lies
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_hands_the_key_on() -> None:
    """The service reads the key from its credential, and keeps its state where the job says."""
    text = (CRON / "bulk-delete-nightly.service").read_text(encoding="utf-8")
    unit = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
    credential, _, source = unit["LoadCredential"].partition(":")
    assert unit["Environment"] == f"BULK_DELETE_API_KEY_FILE=%d/{credential}"
    assert source.startswith("/")
    settings = read_job_file(CRON / "nightly.toml").settings
    assert settings.state.dir == Path("/var/lib") / unit["StateDirectory"]
    assert int(unit["TimeoutStopSec"].removesuffix("s")) > settings.limits.grace
    for yes in (
        "NoNewPrivileges",
        "PrivateTmp",
        "PrivateDevices",
        "ProtectHome",
        "LockPersonality",
    ):
        assert unit[yes] == "yes"
    assert unit["ProtectSystem"] == "strict"
    assert unit["CapabilityBoundingSet"] == ""


def test_the_manifests_fit_together(tmp_path: Path) -> None:
    """The CronJob runs one at a time, as nobody, with key, job, inputs and state in place."""
    found = manifests()
    assert {kind: part["apiVersion"] for kind, part in found.items()} == {
        "ConfigMap": "v1",
        "PersistentVolumeClaim": "v1",
        "CronJob": "batch/v1",
    }
    cron = found["CronJob"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert re.fullmatch(r"([\d*/,-]+ ?){5}", cron["schedule"])
    assert cron["jobTemplate"]["spec"]["backoffLimit"] == 0
    pod = cron["jobTemplate"]["spec"]["template"]["spec"]
    (box,) = pod["containers"]
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert box["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in box["volumeMounts"]}
    assert volumes.keys() == mounts.keys()
    places = {name: Path(mount["mountPath"]) for name, mount in mounts.items()}
    # The key: a file of the Secret, which lies in no repository, and not an environment's value.
    (variable,) = box["env"]
    assert variable["name"] == "BULK_DELETE_API_KEY_FILE"
    assert Path(variable["value"]).parent == places["key"]
    assert volumes["key"]["secret"]["defaultMode"] == 0o400
    secret = f"kubectl create secret generic {volumes['key']['secret']['secretName']} "
    assert (
        f"{secret}--from-file={Path(variable['value']).name}=" in (CRON / "README.md").read_text()
    )
    # The job, its inputs and its state.
    (name, text), *_ = found["ConfigMap"]["data"].items()
    (tmp_path / name).write_text(text)
    file = read_job_file(tmp_path / name)
    assert volumes["job"]["configMap"]["name"] == found["ConfigMap"]["metadata"]["name"]
    assert str(places["job"] / name) in box["command"]
    assert all(path.startswith(f"{places['exports']}/") for path in file.inputs)
    claim = found["PersistentVolumeClaim"]["metadata"]["name"]
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim
    assert file.settings.state.dir == places["state"]
    assert "readOnly" not in mounts["state"]
    assert pod["terminationGracePeriodSeconds"] > file.settings.limits.grace
