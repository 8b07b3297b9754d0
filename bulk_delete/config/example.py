"""First files to fill in: the example configuration, with nothing of it in force, and a job."""

import re
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_PLACES = (_PACKAGE, _PACKAGE.parent)
"""Where `config.example.toml` is: in the package once it is installed, beside it in a checkout."""

_SETTING = re.compile(r"(?m)^(\w+ = .*?)(?:  )?(?=( *#|$))")

_HEAD = """\
# The configuration of bulk-delete. Nothing in it is in force: take the "# " off the front of what
# you change. A line shows the default, or an example where there is none.
#
# First match wins: flag, job file, environment (BULK_DELETE_<SECTION>_<KEY>, as in
# BULK_DELETE_LIMITS_RATE), this file, ~/.cekura/config.toml (key and URL only), default.
# `bulk-delete check` tells what is in force, and from where.

"""

FIRST_JOB = """\
# A first job. Say which runs it is about, then:
#
#   bulk-delete plan first.toml    prints what would be sent; sends nothing
#   bulk-delete run first.toml     asks for the number of runs, then deletes them for good
#
# The file's name is the job's: copy it under another name for another job.

[job]
description = "What these runs are, and why nobody needs them"
inputs = ["runs.csv"]          # seen from this file's folder; patterns and dates are possible
verify = true                  # when all is sent, read it back
# confirm = false              # for cron: nobody is there to be asked

[limits]
rate = "5/s"

[guards]
max_runs = 1000                # a wrong file is no disaster
# protect = "keep.csv"         # results or runs that are never sent
"""


def first_config() -> str:
    """Return the example with all its settings commented out, under words of its own."""
    path = next(path for folder in _PLACES if (path := folder / "config.example.toml").is_file())
    _, section, rest = path.read_text(encoding="utf-8").partition("[api]\n")
    return _HEAD + _SETTING.sub(r"# \1", section + rest)
