"""Plain values: JSON of strangers, and dataclasses that are written as JSON and read from it."""

from __future__ import annotations

import json
import math
import reprlib
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_LARGEST_JSON = 64 * 2**20  # bytes

T = TypeVar("T")


def read_json(path: Path) -> Any:
    """Read a small JSON file from anywhere: with Windows' byte order mark, too, but not from a pipe.

    Raises OSError or ValueError, also for what is too deep or too large to be a file of ours.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a file")
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"{path} is too large")
    return parse_json(path.read_text(encoding="utf-8-sig"))


def parse_json(text: object) -> Any:
    """JSON of strangers; all that is no JSON, too deep, or has infinite or over-long numbers is a ValueError.

    Examples
    --------
    >>> parse_json('{"size": [1, 2.5]}')
    {'size': [1, 2.5]}
    """
    if not isinstance(text, str):
        raise ValueError(f"it is {type(text).__name__}, not text")
    try:
        return json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except json.JSONDecodeError as cause:
        raise ValueError(f"it is not JSON ({cause})") from cause
    except RecursionError as cause:
        raise ValueError("it is nested too deeply") from cause


def _whole(digits: str) -> int:
    if len(digits) < 20 and -(2**63) <= (value := int(digits)) < 2**63:
        return value
    raise ValueError(f"it contains {reprlib.repr(digits)}")


def _finite(digits: str) -> float:
    if math.isfinite(value := float(digits)):
        return value
    raise ValueError(f"it contains {reprlib.repr(digits)}")


def to_json(record: Any) -> str:
    """Serialise a dataclass or plain values; equal records give equal text."""
    plain = asdict(record) if hasattr(record, "__dataclass_fields__") else record
    # ASCII, because SQLite refuses file names that are not valid Unicode.
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_as(kind: type[T], values: object) -> T:
    """Read plain values as a dataclass, unknown keys ignored; a ValueError names the first entry that does not fit.

    Examples
    --------
    >>> read_as(dict[str, int], {"size": "large"})
    Traceback (most recent call last):
    ValueError: its size is 'large': Input should be a valid integer, unable to parse string as an integer
    """
    from pydantic import ValidationError

    try:
        return _reader(kind).validate_python(values)  # type: ignore[arg-type, no-any-return]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))[:80] or kind.__name__.lower()
        raise ValueError(f"its {place} is {reprlib.repr(first['input'])}: {first['msg']}") from error


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def cell(value: object) -> object:
    """A value that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
