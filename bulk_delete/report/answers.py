"""What came of an order that was given to a job from another terminal."""

from dataclasses import dataclass
from typing import Literal

from bulk_delete.plain import printable
from bulk_delete.report.words import many

AnsweredOrder = Literal["pause", "continue", "stop", "rate"]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a job stands after an order.

    `runs`: somebody holds it. `ended`: it came to its end meanwhile. `state` is None where it has
    not answered; what follows is as the job tells, where it has. `already`: a pause was asked for
    before, and that one stays, with its reason. `resume` goes on with what the job had to do.
    """

    job: str
    order: AnsweredOrder
    runs: bool
    ended: bool = False
    state: str | None = None
    in_flight: int = 0
    limit: str = ""
    lowered_to: float | None = None
    paused_by: str | None = None
    already: bool = False
    resume: str | None = None


def answer_text(answer: Answer, go_on: str, resume: str, look: str) -> str:
    """Say what came of it, given the commands to type next."""
    return printable(f"Job {answer.job} {_told(answer, go_on, resume, look)}") + "\n"


def _told(answer: Answer, go_on: str, resume: str, look: str) -> str:
    later = f". Its next start will wait, until: {go_on}" if answer.order == "pause" else ""
    if answer.ended:
        return f"has ended; see {look}{later}"
    if not answer.runs:
        again = f". It is not paused any more; to go on with it: {resume}"
        return f"does not run{later or again}"
    out = f"nothing more leaves, {many(answer.in_flight, 'call')} out"
    match answer.state:
        case None | "starting":
            slow = "is still planning" if answer.state else "has not answered yet"
            return f"has been asked, but {slow}; {_SOON[answer.order]}. See {look}"
        case "closing":
            return f"has made its last call, and writes its books; see {look}{later}"
        case "stopping":
            return f"is stopping: {out}. To go on with it: {resume}{later}"
        case _:
            return _now(answer, out, go_on)


_SOON: dict[AnsweredOrder, str] = {
    "pause": "its next call will wait",
    "continue": "it will go on",
    "stop": "it will send nothing more",
    "rate": "it will keep to the new rate",
}


def _now(answer: Answer, out: str, go_on: str) -> str:
    match answer.order:
        case "pause":
            first = "was already" if answer.already else "is"
            return f"{first} paused by {answer.paused_by}: {out}. To let it go on: {go_on}"
        case "continue":
            return "goes on"
        case "stop":
            return f"will stop: {out}"
        case "rate":
            lowered = answer.lowered_to
            slower = f"; its replies have lowered it to {lowered:.3g}/s" if lowered else ""
            return f"keeps to {answer.limit} now, until it ends{slower}"
