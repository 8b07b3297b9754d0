"""The door: flags → calls → printing → exit code."""

import contextlib
import resource
import sys
from typing import TYPE_CHECKING, NoReturn

from bulk_delete.cli.printing import complain, emit, prepare_streams, tell, to_stderr

if TYPE_CHECKING:
    from click import ClickException

    from bulk_delete.cli.found import Found  # so that an interrupt while loading is told as one

_INTERRUPTED = "interrupted; what was sent, if anything, is in the job's journal"


def main() -> NoReturn:
    """Run the command line and end with the exit code of the contract."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # a core file would have the key in it
    try:
        prepare_streams()
        code = main_inner(sys.argv[1:])
    except KeyboardInterrupt:
        tell(f"bulk-delete: {_INTERRUPTED}\n")  # while it was being loaded
        code = 130
    sys.exit(code)


def main_inner(arguments: list[str]) -> int:
    """Run the command line, and tell those who watch how it ended; return the exit code."""
    from bulk_delete.cli.found import Found, guessed_log  # noqa: PLC0415 - likewise

    found = Found(log=guessed_log(arguments))
    code = _code_of(arguments, found)
    if found.beacons:
        from bulk_delete.cli.watched import put_out  # noqa: PLC0415 - is loaded by then

        put_out(found, code)
    return code


def _code_of(arguments: list[str], found: "Found") -> int:
    """Run the command line; return the exit code."""
    from bulk_delete.cli.memory import room_for_memory  # noqa: PLC0415 - so that an interrupt
    from bulk_delete.errors import Ending  # noqa: PLC0415 - while loading is told as one, too

    try:
        room_for_memory()
        return _obey(arguments, found)
    except Ending as ending:
        with contextlib.suppress(MemoryError):
            complain(ending.reason, ending.listing, code=ending.exit_code, log=found.log)
        return ending.exit_code


def _obey(arguments: list[str], found: "Found") -> int:
    """Run the command line; return the exit code. Raises Ending."""
    import click  # noqa: PLC0415 - likewise

    from bulk_delete.cli.app import app  # noqa: PLC0415 - likewise
    from bulk_delete.errors import Bug, Ending, InvalidInput, out_of_memory  # noqa: PLC0415 - likewise

    try:
        code = app.main(arguments, prog_name="bulk-delete", standalone_mode=False, obj=found)
    except Ending:
        raise
    except click.ClickException as error:
        _tell_misuse(error, found)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain(_INTERRUPTED, code=130, log=found.log)
        return 130
    except Exception as error:  # noqa: BLE001 - the contract has a code for what should not be
        if ending := out_of_memory(error):
            raise ending from None
        if isinstance(error, OSError) and not emit(""):
            return InvalidInput.exit_code  # what click has printed by itself, as with --help
        _tell_bug(found)
        return Bug.exit_code
    return code if isinstance(code, int) else 0


def _tell_misuse(error: "ClickException", found: "Found") -> None:
    """Say what is wrong with a command line, as click does."""
    from click.exceptions import NoArgsIsHelpError  # noqa: PLC0415 - likewise

    from bulk_delete.plain import printable  # noqa: PLC0415 - likewise

    if found.log.format == "json":
        complain(error.format_message(), code=error.exit_code, log=found.log)
        return
    with to_stderr():
        if not isinstance(error, NoArgsIsHelpError):  # that is the help itself
            vars(error)["message"] = printable(error.message)  # it is for reading only
        error.show()


def _tell_bug(found: "Found") -> None:
    """Say that there is a bug, with the traceback of the error that is being handled."""
    import traceback  # noqa: PLC0415 - hardly ever needed

    from bulk_delete.errors import Bug  # noqa: PLC0415 - likewise

    told = traceback.format_exc()
    for key in found.keys:
        told = key.out_of(told)
    words = "this is a bug; what was sent is in the journal. Please report the lines "
    if found.log.format == "json":
        complain(f"{words}below", told, code=Bug.exit_code, log=found.log)
    else:
        tell(told)
        complain(f"{words}above", code=Bug.exit_code, log=found.log)
