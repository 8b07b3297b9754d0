"""The text form of an id: ASCII decimal digits, 1 … 2^63-1, with blanks around allowed."""

from bulk_delete.model import MAX_ID

_BLANKS = " \t\r\n"
_MOST_DIGITS = len(str(MAX_ID))
_SHOWN = 40


def parse_id(text: str) -> int:
    """Read an id, never by way of a float. Raises ValueError with the reason."""
    digits = text.strip(_BLANKS)
    if not digits:
        raise ValueError("is empty")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{digits[:_SHOWN]!r} is not a whole decimal number")
    digits = digits.lstrip("0")
    if not digits:
        raise ValueError("is 0; ids start at 1")
    if len(digits) > _MOST_DIGITS or int(digits) > MAX_ID:
        raise ValueError(f"{digits[:_SHOWN]} is above 2^63-1")
    return int(digits)


def named_id(text: str, name: str) -> int:
    """Read an id. Raises ValueError with its name and the reason."""
    try:
        return parse_id(text)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
