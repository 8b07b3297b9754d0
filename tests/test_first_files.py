"""The files that `init` writes."""

import re
import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from bulk_delete.config import first_config

ROOT = Path(__file__).parent.parent


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
