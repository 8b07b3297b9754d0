"""When calls are held because nobody answers, and who may try meanwhile."""

import pytest

from bulk_delete.circuit import LAST_PROBE_S, LEAST_FAILURES, Circuit
from bulk_delete.model import (
    BadRequest,
    Deleted,
    Fact,
    InDoubt,
    NotSent,
    ServerError,
    Throttled,
)

GOOD = Deleted(204, 1)
BAD = ServerError(500, None, "oops")


def failing(times: list[float], fact: Fact = BAD, *, heard: bool = True) -> Circuit:
    circuit = Circuit(hold_after_s=10, give_up_after_s=60)
    if heard:
        circuit.note(GOOD, 0.0)
    for now in times:
        circuit.note(fact, now)
    return circuit


@pytest.mark.parametrize("fact", [BAD, InDoubt("reset"), NotSent("refused"), InDoubt("200", 200)])
def test_nothing_but_failures_open_it(fact: Fact) -> None:
    """After ten seconds of failures alone it is open, and not a moment before."""
    assert not failing([1, 5, 10.9], fact).is_open
    circuit = failing([1, 5, 11], fact)
    assert circuit.is_open
    assert circuit.failing_s(11) == 10


def test_few_failures_tell_nothing() -> None:
    """Where calls are rare, two failures do not open it, however far apart."""
    assert LEAST_FAILURES == 3
    assert not failing([1, 100]).is_open


@pytest.mark.parametrize("fact", [GOOD, BadRequest(400, ""), Throttled(429, None, "")])
def test_any_answer_begins_anew(fact: Fact) -> None:
    """An answer between makes the ten seconds count from the next failure on."""
    circuit = failing([1, 5])
    circuit.note(fact, 6)
    for now in (7, 8, 16.9):
        circuit.note(BAD, now)
    assert not circuit.is_open


def test_an_answer_closes_it() -> None:
    """Open, the first answer closes it."""
    circuit = failing([1, 5, 11])
    circuit.note(GOOD, 12)
    assert not circuit.is_open


def test_worn_out_batches_open_it() -> None:
    """Three batches in a row that use up their attempts open it before the time."""
    circuit = failing([1, 2])
    for _ in range(2):
        circuit.wear_out(2)
    assert not circuit.is_open
    circuit.wear_out(2)
    assert circuit.is_open


def test_an_api_that_never_answered_is_not_waited_for() -> None:
    """Where no connection was ever made it stays closed: the batch's attempts decide."""
    assert not failing([1, 20, 40], NotSent("refused"), heard=False).is_open
    assert failing([1, 20, 40], BAD, heard=False).is_open


def test_probes_go_one_at_a_time_at_growing_distances() -> None:
    """The first after a second, then at doubled distances up to the longest."""
    circuit = failing([1, 5, 11])
    assert not circuit.may_probe(11.9)
    now, distances = 12.0, []
    for _ in range(6):
        assert circuit.may_probe(now)
        circuit.begin_probe()
        assert not circuit.may_probe(now + 100)
        circuit.end_probe(now, 0.999999, could_read=False)
        distances.append(round(circuit.probe_at - now))
        now = circuit.probe_at
    assert distances == [1, 2, 4, 8, LAST_PROBE_S, LAST_PROBE_S]


def test_after_a_read_the_deletion_may_follow() -> None:
    """A probe that was a read and came to something costs no distance."""
    circuit = failing([1, 5, 11])
    circuit.begin_probe()
    circuit.end_probe(12, 0.5, could_read=True)
    assert circuit.may_probe(12)


def test_patience_ends() -> None:
    """It is given up so long after the first failure, and a pause that was asked for is extra."""
    assert failing([1, 5, 11]).give_up_at == 61
    circuit = failing([1, 5, 11])
    circuit.pause_until(40)
    assert circuit.failing_s(12) == 0
    assert circuit.give_up_at == 100


def test_what_is_an_outage() -> None:
    """One call's failure is the outage's when nobody was heard since it left, or all are held."""
    circuit = failing([1])
    assert circuit.is_outage(NotSent("refused"), since=0.5)
    assert not circuit.is_outage(BAD, since=0.5)
    assert not circuit.is_outage(NotSent("refused"), since=0.0)
    assert failing([1, 5, 11]).is_outage(BAD, since=0.5)
