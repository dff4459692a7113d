"""`nafnet-run --doctor`, as text and as JSON, and what it keeps to itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nafnet.runtime.backends import REGISTRY
from tests.begun import PLAIN
from tests.runtime.doctor.bare import bare_environment
from tests.runtime.doctor.conftest import PutLibrary

# Telling words, in whatever way a system has them.
USER, HOST, FOLDER = "wilhelmine", "wolkenkuckucksheim", "geheimnisse"
_NAMES = f"""
import socket
socket.gethostname = lambda: "{HOST}.example.org"
"""
_TALKS = f"""
import os, sys
print("cannot open", os.path.expanduser("~/models/net.bin"), "of {USER} on {HOST}", file=sys.stderr, flush=True)
os.abort()
"""
_RAISES = f"""
import os
raise RuntimeError("no licence for {USER}@{HOST}.example.org in " + os.path.expanduser("~/licence.txt"))
"""


def doctor(*words: str, python: str | Path = sys.executable, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-P", "-c", PLAIN, "--doctor", *words],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture
def private(tmp_path: Path, put_library: PutLibrary) -> dict[str, str]:
    """An environment with a home, a user and a machine of telling names, and libraries that tell them."""
    put_library("sitecustomize", _NAMES)
    put_library("openvino", _TALKS)
    put_library("torch", _RAISES)
    home = tmp_path / FOLDER
    (home / "scratch").mkdir(parents=True)
    return {
        "HOME": str(home), "USERPROFILE": str(home), "USER": USER, "LOGNAME": USER, "USERNAME": USER,
        "HOSTNAME": HOST, "TMPDIR": str(home / "scratch"), "NAFNET_CACHE": str(home / "kept" / USER),
        "CUDA_VISIBLE_DEVICES": "GPU-0b1c2d3e-aaaa-bbbb-cccc-1234567890ab", "MY_TOKEN": "sesame-open",
    }  # fmt: skip


def assert_nothing_private(said: str) -> None:
    for word in (USER, HOST, FOLDER, "sesame-open", "MY_TOKEN", "0b1c2d3e"):
        assert word not in said.lower()
    for shown in ("~/scratch", "~/kept/<user>", "cannot open ~/models/net.bin of <user> on <host>", "GPU-..."):
        assert shown in said
    assert "no licence for <user>@<host> in ~/licence.txt" in said


def test_nothing_private_is_in_the_text(private: dict[str, str]) -> None:
    done = doctor(**private, COLUMNS="400")
    assert done.returncode == 0, done.stderr
    assert_nothing_private(done.stdout)


def test_json_has_every_backend_and_every_extra_and_nothing_private(private: dict[str, str]) -> None:
    done = doctor("--json", **private)
    assert done.returncode == 0, done.stderr
    assert_nothing_private(done.stdout)
    found = json.loads(done.stdout)
    assert [each["name"] for each in found["backends"]] == list(REGISTRY)
    states = {each["name"]: each["state"] for each in found["backends"]}
    assert (states["openvino"], states["torch"], states["onnxruntime"]) == ("crashed", "failed", "right")
    (right,) = (each for each in found["backends"] if each["state"] == "right")
    assert right["psnr"] > 90
    assert right["megapixels_per_second"] > 0
    assert {"base", "cpu", "gpu", "tensorrt", "export", "train", "raw", "jxl", "ray"} <= set(found["libraries"])
    assert found["libraries"]["base"]["numpy"]
    assert found["libvips"]["version"]
    assert found["memory"]["machine"] >= found["memory"]["available"] > 0
    assert {place["name"]: place["fault"] for place in found["places"]} == {"cache": None, "temporary files": None}
    assert list(found["variables"]) == ["NAFNET_CACHE", "CUDA_VISIBLE_DEVICES", "TMPDIR"]


def test_text_is_readable_in_a_narrow_window(private: dict[str, str]) -> None:
    lines = doctor(**private, COLUMNS="40").stdout.splitlines()
    *body, last = lines
    assert max(map(len, body)) <= 40
    assert all(line == line.rstrip() and line.isascii() for line in body)
    assert {name for name in REGISTRY if any(line.startswith(f" {name} ") for line in body)} == set(REGISTRY)
    assert last == f"1 backend of {len(REGISTRY)} ready and right on this machine"


def test_the_base_install_is_told_what_to_install(tmp_path: Path) -> None:
    """No inference library, nothing that reads models: a real environment without any."""
    python = bare_environment(tmp_path / "bare")
    done = doctor(python=python, PYTHONPATH="", COLUMNS="200")
    assert done.returncode == 2, done.stderr
    assert done.stdout.splitlines()[-1] == "no backend runs on this machine: pip install 'nafnet-toolchain[cpu]'"
    for name, entry in REGISTRY.items():
        assert f" {name} " in done.stdout
        assert f"not here: pip install 'nafnet-toolchain[{entry.extra}]'" in done.stdout
    assert "Traceback" not in done.stderr

    found = json.loads(doctor("--json", python=python, PYTHONPATH="").stdout)
    assert {each["state"] for each in found["backends"]} == {"absent"}
    assert all(found["libraries"]["base"].values())
    assert not any(found["libraries"]["cpu"].values())

    restore = [python, "-P", "-c", PLAIN, str(tmp_path), str(tmp_path / "out")]
    refused = subprocess.run(restore, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""})
    assert refused.returncode == 2
    assert refused.stderr.strip().endswith("onnx is not installed: pip install 'nafnet-toolchain[cpu]'")


def test_what_cannot_be_written_is_told(private: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = doctor(**(private | {"NAFNET_CACHE": str(tmp_path / "file")}), COLUMNS="400")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith(" cache "))
    assert "can be written; set NAFNET_CACHE to a folder that can" in line
    assert done.returncode == 0


def test_json_is_of_the_doctor_alone(tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-c", PLAIN, "--json", str(tmp_path), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--json: of --doctor alone" in done.stderr
