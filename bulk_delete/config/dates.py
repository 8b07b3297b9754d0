"""Dates in the names of a job's inputs: `{today:%Y-%m-%d}` and `{yesterday:%Y-%m-%d}`."""

import re
from datetime import datetime, timedelta

CODES = "%Y %m %d %H %M %S %j %y %G %V %u"

_BRACES = re.compile(r"\{\{|\}\}|\{(?P<day>\w+):(?P<form>[^{}]+)\}|[{}]")
_CODE = re.compile(r"%.?", re.DOTALL)
_DAYS_AGO = {"today": 0, "yesterday": 1}


def dated(name: str, now: datetime) -> str:
    """Put dates in; `{{` and `}}` stand for braces. Raises ValueError for any other brace."""

    def one(found: re.Match[str]) -> str:
        if found[0] in {"{{", "}}"}:
            return found[0][0]
        if found["day"] not in _DAYS_AGO:
            raise ValueError(
                f"{found[0]!r} is no date; write {{today:%Y-%m-%d}} or {{yesterday:%Y-%m-%d}}, "
                "and {{ or }} where a brace is meant"
            )
        for code in _CODE.findall(found["form"]):
            if code not in {*CODES.split(), "%%"}:
                raise ValueError(
                    f"{code!r} in {found[0]!r} is no part of a date: there are {CODES}"
                )
        return (now - timedelta(days=_DAYS_AGO[found["day"]])).strftime(found["form"])

    return _BRACES.sub(one, name)
