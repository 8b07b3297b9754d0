"""Inputs by name: plain, or with `*`, `?` and `[a-z]` in any part of the path."""

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from bulk_delete.errors import InvalidInput

_MAGIC = re.compile(r"[*?\[]")


def find(folder: Path, name: str) -> list[str]:
    """Return the paths that a name means, seen from a folder, in order.

    A plain name is returned whether or not there is such a file. A pattern leaves out names with
    a dot before. Raises InvalidInput where a folder on the way cannot be looked into.
    """
    first, *rest = PurePath(name).parts or (".",)
    if first.startswith("~"):
        folder = Path(os.path.expanduser(first))  # noqa: PTH111 - an unknown user is no bug
    else:
        rest = [first, *rest]
    if not _MAGIC.search(name):
        return [str(folder.joinpath(*rest))]
    found = [folder]
    for part in rest:
        if _MAGIC.search(part):
            found = [place / name for place in found for name in _names(place, part)]
        else:
            found = [place / part for place in found]
    return sorted(str(path) for path in found if not is_missing(str(path)))


def is_missing(path: str) -> bool:
    """Tell whether nothing is there; where that cannot be seen, something may be."""
    try:
        os.stat(path)  # noqa: PTH116 - the path as given
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _names(folder: Path, pattern: str) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names, not paths
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InvalidInput(f"{folder}: cannot be looked into: {error.strerror}") from None
    hidden = pattern.startswith(".")
    return [name for name in names if fnmatchcase(name, pattern) and (hidden or name[:1] != ".")]
