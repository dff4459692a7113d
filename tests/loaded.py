"""Imported by the process from which `tests.begun` forks."""

from tests.begun import load

load()
