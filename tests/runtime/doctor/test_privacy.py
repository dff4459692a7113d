"""Names and homes are replaced where they are words, and nowhere else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nafnet.runtime.doctor import privacy
from nafnet.runtime.doctor.privacy import discreet


@pytest.fixture(autouse=True)
def _of_pi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The user pi, at home in a folder of that name, on the machine cpu-7."""
    caches = (privacy._homes, privacy._names, privacy._users)
    for cached in caches:
        cached.cache_clear()
    for name in privacy._USER_VARIABLES:
        monkeypatch.setenv(name, "pi")
    monkeypatch.setenv("HOME", str(tmp_path / "pi"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "pi"))
    monkeypatch.setattr(socket, "gethostname", lambda: "cpu-7.lab")
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pip install pi", "pip install <user>"),
        ("{home}/a.onnx, {home}", "~/a.onnx, ~"),
        ("{home}ne/a.onnx", "{home}ne/a.onnx"),
        ("/data/pi/a.onnx", "/data/<user>/a.onnx"),
        ("PI on CPU-7", "<user> on <host>"),
        ("at cpu-7.lab:80, cpu-70", "at <host>:80, cpu-70"),
        ("GPU-01234567-89ab-cdef and GPU-0", "GPU-... and GPU-0"),
    ],
)
def test_a_text(text: str, expected: str, tmp_path: Path) -> None:
    home = str(tmp_path / "pi")
    assert discreet(text.format(home=home)) == expected.format(home=home)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"C:\Users\JOHNSM~1\AppData\Local\Temp", r"C:\Users\<user>\AppData\Local\Temp"),
        ("/data/johnsmith_photos, /scratch/JohnSmith2", "/data/<user>_photos, /scratch/<user>2"),
    ],
)
def test_a_long_name_is_one_also_inside_of_words(text: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in privacy._USER_VARIABLES:
        monkeypatch.setenv(name, "johnsmith")
    assert discreet(text) == expected


def test_a_root_that_is_a_home_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of the unknown user of a container."""
    monkeypatch.setenv("HOME", "/")
    monkeypatch.setenv("USERPROFILE", "/")
    assert discreet("/usr/lib/x.so") == "/usr/lib/x.so"
