"""Errors are one line, whatever a library said."""

from __future__ import annotations

import inspect
import pickle

import pytest

from nafnet import errors
from nafnet.errors import MissingExtraError, NafnetError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, NafnetError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_one_line(kind: type[NafnetError]) -> None:
    said = "it failed:\r\n\n\t  line 3\x0bof\u2028the log \n"
    error = MissingExtraError(said, "cpu") if kind is MissingExtraError else kind(said)
    assert str(error).startswith("it failed: line 3 of the log")
    assert len(str(error).splitlines()) == 1
    assert str(pickle.loads(pickle.dumps(NafnetError(said)))) == "it failed: line 3 of the log"


def test_blanks_in_a_line_stay() -> None:
    """A path may have them, and choices stand below the line."""
    error = NafnetError("my  photo.jpg: damaged", choices=["a", "b"])
    assert (str(error), error.choices) == ("my  photo.jpg: damaged", ("a", "b"))
