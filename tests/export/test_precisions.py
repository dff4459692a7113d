"""Every table that says something of a precision says it of all, which types alone do not check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from nafnet import onnxfile
from nafnet.export import exporter
from nafnet.export.attempts.attempt import DTYPES
from nafnet.export.engines import layers
from nafnet.parity import GATES, Arithmetic, Precision

TABLES: dict[str, Mapping[Precision, Any]] = {
    "nafnet/onnxfile.py: _STORED": onnxfile._STORED,
    "export/attempts/attempt.py: DTYPES": DTYPES,
    "export/exporter.py: FORMS": exporter.FORMS,
    "export/exporter.py: _TIMES": exporter._TIMES,
    "export/engines/layers.py: _WANTED": layers._WANTED,
    "export/engines/layers.py: _LEAST_SHARE": layers._LEAST_SHARE,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_every_precision(name: str) -> None:
    assert set(TABLES[name]) == set(get_args(Precision))


def test_every_arithmetic_has_a_gate_and_every_precision_is_one() -> None:
    assert set(GATES) == set(get_args(Arithmetic))
    assert set(get_args(Precision)) == set(GATES) - {"tf32"}


def test_what_is_multiplied_with_ten_bits_has_one_gate() -> None:
    assert GATES["tf32"] == GATES["fp16"]
