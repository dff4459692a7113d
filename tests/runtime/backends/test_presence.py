"""What a machine has: told from its files and its environment, and from what OpenVINO does there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from nafnet import sessions
from nafnet.errors import BackendError
from nafnet.onnxfile import embed_spec
from nafnet.runtime.backends import choose_for
from nafnet.spec import ModelSpec
from nafnet.system import SYSTEM

MakeOnnx = Callable[..., Path]
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
LIMITED = "is set, with which OpenVINO's bf16 fails or crashes on this CPU: unset it"
NONE_HERE = "this CPU has no bfloat16"


def nafnet_run(*arguments: str, **limits: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in LIMITS} | limits
    program = Path(sys.executable).with_name("nafnet-run")
    return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What the system says of a CPU with bfloat16, and no variable set."""
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    flags = {"fpu", "avx2", "avx512f", "avx512_bf16"}
    monkeypatch.setattr(SYSTEM, "processor_flags", lambda: frozenset(flags))
    return flags


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({}, None),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "ONEDNN_MAX_CPU_ISA=AVX2"),
        ({"DNNL_MAX_CPU_ISA": "avx2_vnni"}, "DNNL_MAX_CPU_ISA=avx2_vnni"),
        ({"ONEDNN_MAX_CPU_ISA": "", "DNNL_MAX_CPU_ISA": "SSE41"}, "DNNL_MAX_CPU_ISA=SSE41"),
        ({"ONEDNN_MAX_CPU_ISA": "ALL", "DNNL_MAX_CPU_ISA": "AVX2"}, None),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, None),
    ],
)
def test_a_limit_on_the_kernels_leaves_no_bfloat16(
    processor: set[str], monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], named: str | None
) -> None:
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    assert sessions.no_bfloat16() == (named and f"{named} {LIMITED}")
    processor.remove("avx512_bf16")
    assert sessions.no_bfloat16() == NONE_HERE, "nothing to unset where there is none"


@pytest.mark.usefixtures("processor")
def test_auto_passes_over_what_is_limited(make_onnx: MakeOnnx, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_onnx(initializer=[helper.make_tensor("weight", TensorProto.BFLOAT16, [1], [1.0])])
    model = onnx.load(path)
    embed_spec(model, ModelSpec(precision="bf16"))
    onnx.save(model, path)
    assert choose_for("auto", path, "cpu").name == "openvino-bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    choice = choose_for("auto", path, "cpu")
    assert (choice.name, choice.reason.partition("; ")[2]) == (
        "openvino", f"openvino-bf16: ONEDNN_MAX_CPU_ISA=AVX2 {LIMITED}"
    )  # fmt: skip
    with pytest.raises(BackendError, match="--backend openvino-bf16: ONEDNN_MAX_CPU_ISA=AVX2 is set"):
        choose_for("openvino-bf16", path, None)


def test_what_is_said_to_be_there_runs(photograph: NDArray[np.uint8], tmp_path: Path) -> None:
    """In processes of their own: the library reads the variable once, and what it crashes is the process."""
    Image.fromarray(photograph[:64, :64]).save(tmp_path / "a.png")
    listed = nafnet_run("--list-backends", ONEDNN_MAX_CPU_ISA="AVX2").stdout.splitlines()
    (state,) = (line.partition("on cpu")[2].strip() for line in listed if line.startswith("openvino-bf16 "))
    assert state in (NONE_HERE, f"ONEDNN_MAX_CPU_ISA=AVX2 {LIMITED}")
    files = (str(tmp_path / "a.png"), str(tmp_path / "out"))
    done = nafnet_run("--backend", "openvino-bf16", *files, ONEDNN_MAX_CPU_ISA="AVX2")
    assert (done.returncode, done.stderr) == (2, f"nafnet-run: --backend openvino-bf16: {state}\n")
    done = nafnet_run("--backend", "openvino", *files, ONEDNN_MAX_CPU_ISA="AVX2")
    assert done.returncode == 0, done.stderr
