"""WebGPU for real: ONNX Runtime's build with it on a software adapter, and its plugin, which wants a GPU.

Each in a process whose path begins with the folder that `make` puts the wheel into. The adapter is SwiftShader, which
comes with Chromium; that Vulkan driver computes on the CPU.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

BESIDE = Path(sys.prefix) / "beside"
CHROMIUM = (Path("/usr/lib/chromium"), Path("/usr/lib/chromium-browser"), Path("/opt/google/chrome"))
DRIVER = "vk_swiftshader_icd.json"
# One tile of the bundled model, there and on the CPU.
PARITY = """
import numpy as np
from nafnet.runtime import Restorer
tile = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
made = []
for name in ("webgpu", "onnxruntime"):
    with Restorer.load(backend=name, tile=32, overlap=0) as restorer:
        print(restorer.backend.description)
        made.append(restorer.backend(tile).astype(float))
print(10 * np.log10(1 / np.mean((made[0] - made[1]) ** 2)))
"""
# A provider that is told to leave the node "left" alone, and what is said of that.
LEFT = """
import sys
from pathlib import Path
from nafnet.errors import NafnetError
from nafnet.onnxfile import inspect_onnx
from nafnet.runtime.backends import onnxruntime_providers
from nafnet.runtime.backends.model import Model


class Told(onnxruntime_providers.WebGpuBackend):
    def session_options(self):
        options = super().session_options()
        options.add_session_config_entry("ep.webgpuexecutionprovider.forceCpuNodeNames", "left")
        return options

path = Path(sys.argv[1])
try:
    print(Told(Model(path=path, spec=inspect_onnx(path)), None, "gpu:0").description)
except NafnetError as error:
    print(error)
"""
LISTED = """
from nafnet.runtime.backends import onnxruntime_providers as providers
found = providers.plugin_devices("onnxruntime_ep_webgpu")
assert providers.plugin_devices("onnxruntime_ep_webgpu") == found, "a second time it is not registered"
print(len(found), {device.ep_name for device in found} <= {"WebGpuExecutionProvider"})
"""
# A device without a GPU behind it, which ONNX Runtime gives for a name that ends so.
VIRTUAL = """
import dataclasses
import onnxruntime
from nafnet.errors import NafnetError
from nafnet.runtime import Restorer
from nafnet.runtime.backends import REGISTRY
register = onnxruntime.register_execution_provider_library
onnxruntime.register_execution_provider_library = lambda name, path: register(name + ".virtual", path)
REGISTRY["webgpu"] = dataclasses.replace(REGISTRY["webgpu"], absent=lambda: None)
try:
    Restorer.load(backend="webgpu")
except NafnetError as error:
    print(error)
"""


def beside(wheel: str) -> dict[str, str]:
    """The environment of a process that finds this wheel first."""
    folder = BESIDE / wheel
    if not folder.is_dir():
        pytest.skip(f"{wheel} is not installed beside the environment: make test does it where there is a wheel")
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture
def software_adapter(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which WebGPU finds SwiftShader, and ONNX Runtime's build with WebGPU."""
    environment = beside("onnxruntime-webgpu")
    place = next((folder for folder in CHROMIUM if (folder / DRIVER).is_file()), None)
    if place is None:
        pytest.skip(f"no {DRIVER}, which comes with Chromium")
    libraries = f"{place}:{os.environ.get('LD_LIBRARY_PATH', '')}".strip(":")  # Vulkan's loader is beside it
    return environment | {
        "VK_ICD_FILENAMES": str(place / DRIVER), "LD_LIBRARY_PATH": libraries, "XDG_RUNTIME_DIR": str(tmp_path),
        "NAFNET_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip


def said(script: str, environment: dict[str, str], *words: str | Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "nothing is printed by the way"
    return done.stdout.splitlines()


@pytest.mark.slow
def test_the_bundled_model_on_a_software_adapter(software_adapter: dict[str, str]) -> None:
    here, there, psnr = said(PARITY, software_adapter)
    assert re.fullmatch(r"ONNX Runtime [\d.]+, WebGPU, gpu:0", here), "nothing is on the CPU"
    assert there.endswith(", CPU")
    assert float(psnr) > 120


def test_auto_measures_it_and_takes_the_faster(
    software_adapter: dict[str, str], photograph: NDArray[np.uint8], tmp_path: Path, mixing_onnx: Path
) -> None:
    """Which one that is is not this test's to know; a model of one convolution, for it is soon compiled."""
    Image.fromarray(photograph[:64, :64]).save(tmp_path / "a.png")
    run = [Path(sys.executable).with_name("nafnet-run"), "--model", mixing_onnx, tmp_path / "a.png"]
    lines, notes = [], []
    for name in ("once.png", "again.png"):
        done = subprocess.run(
            [*map(str, run), str(tmp_path / name)], env=software_adapter, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        lines.append(done.stdout.splitlines()[0])
        notes.append([line for line in done.stderr.splitlines() if line.startswith("measuring")])
    found = re.search(
        r" on (.*) \(a tile of 256 takes ([\d.,]+) ms; on (\S+) one( of 48)? takes ([\d.,]+) ms\)", lines[0]
    )
    assert found, lines[0]
    taken, other = (float(found[group].replace(",", "")) for group in (2, 5))
    assert ("WebGPU" in found[1]) == (found[3] != "webgpu")
    assert taken <= other
    assert lines[1].partition(", tiles")[0] == lines[0].partition(", tiles")[0]
    assert (len(notes[0]), notes[1]) == (2, [])


@pytest.mark.parametrize("kind", ["Conv", "Relu"])
def test_where_each_node_ran_is_known(kind: str, software_adapter: dict[str, str], make_onnx: Any) -> None:
    """By what ONNX Runtime's profiler says; its record of the graph's assignment knows no convolution of WebGPU's."""
    weights = numpy_helper.from_array(np.ones((3, 3, 3, 3), np.float32), "weights")
    names = {"Conv": "", "Relu": ""} | {kind: "left"}
    path = make_onnx(
        helper.make_node("Conv", ["image", "weights"], ["more"], pads=[1] * 4, name=names["Conv"]),
        helper.make_node("Relu", ["more"], ["positive"], name=names["Relu"]),
        helper.make_node("Abs", ["positive"], ["restored"]),
        initializer=[weights],
    )
    (line,) = said(LEFT, software_adapter, path)
    if kind == "Conv":
        assert line.endswith("model.onnx: WebGPU leaves its convolutions to the CPU (1 Conv); it is not used")
    else:
        assert line.endswith(", WebGPU, gpu:0, on the CPU: 1 Relu")


def test_the_plugin_is_registered_and_lists_gpus() -> None:
    count, all_its_own = said(LISTED, beside("onnxruntime-ep-webgpu"))[0].split()
    assert int(count) >= 0
    assert all_its_own == "True"


def test_the_plugin_makes_the_session() -> None:
    """Of a device that it lists, with a GPU behind it or without: here it is the plugin itself that refuses."""
    (line,) = said(VIRTUAL, beside("onnxruntime-ep-webgpu"))
    assert re.search(r"denoise\.onnx: ONNX Runtime cannot load it with WebGPU \(.*virtual GPU device", line), line
