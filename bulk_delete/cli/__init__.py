"""The door: flags → calls → printing → exit code."""

import resource
import sys
from typing import TYPE_CHECKING, NoReturn

from bulk_delete.cli.printing import complain, emit, prepare_streams, tell, to_stderr

if TYPE_CHECKING:
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
        complain(_INTERRUPTED)  # while it was being loaded
        code = 130
    sys.exit(code)


def main_inner(arguments: list[str]) -> int:
    """Run the command line, and tell those who watch how it ended; return the exit code."""
    from bulk_delete.cli.found import Found  # noqa: PLC0415 - likewise

    found = Found()
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
        complain(ending.reason, ending.listing)
        return ending.exit_code


def _obey(arguments: list[str], found: "Found") -> int:
    """Run the command line; return the exit code. Raises Ending."""
    import click  # noqa: PLC0415 - likewise

    from bulk_delete.cli.app import app  # noqa: PLC0415 - likewise
    from bulk_delete.errors import Bug, Ending, InvalidInput, out_of_memory  # noqa: PLC0415 - likewise
    from bulk_delete.plain import printable  # noqa: PLC0415 - likewise

    try:
        code = app.main(arguments, prog_name="bulk-delete", standalone_mode=False, obj=found)
    except Ending:
        raise
    except click.ClickException as error:
        with to_stderr():
            if not isinstance(error, click.exceptions.NoArgsIsHelpError):  # that is the help itself
                vars(error)["message"] = printable(error.message)  # it is for reading only
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain(_INTERRUPTED)
        return 130
    except Exception as error:  # noqa: BLE001 - the contract has a code for what should not be
        if ending := out_of_memory(error):
            raise ending from None
        if isinstance(error, OSError) and not emit(""):
            return InvalidInput.exit_code  # what click has printed by itself, as with --help
        import traceback  # noqa: PLC0415 - hardly ever needed

        told = traceback.format_exc()
        for key in found.keys:
            told = key.out_of(told)
        tell(told)
        complain("this is a bug; what was sent is in the journal. Please report the lines above")
        return Bug.exit_code
    return code if isinstance(code, int) else 0
