"""What several tests need: models that are quick to run, and images with something in them."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nafnet.spec import Architecture
from tests.sharing import Once

if TYPE_CHECKING:
    from nafnet.architecture import NAFNet
    from tests.gpu_stand_in.machine import Machine

HAVE_TORCH = importlib.util.find_spec("torch") is not None
"""Tests of the runtime run without, too, as on Windows."""

TINY = Architecture(width=4, encoder_blocks=(1, 0), middle_blocks=1, decoder_blocks=(0, 1))
MakeOnnx = Callable[..., Path]

# PyTorch's threads wait for each other by spinning. Two of them in every worker and in every process that a test starts
# share the cores with each other, and burn more time than they compute: the networks here are far too small for two.
os.environ.setdefault("OMP_NUM_THREADS", "1")
if HAVE_TORCH:
    import torch

    torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """No test reads or fills the user's cache: from here on, so that what a module takes of the environment when it is
    imported has it, too."""
    # On Windows what a process still holds open stays.
    folder = tempfile.TemporaryDirectory(prefix="nafnet-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["NAFNET_CACHE"] = folder.name


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """What all workers share."""
    return Once(tmp_path_factory)


@pytest.fixture(scope="session", autouse=True)
def _exports_each_network_once(once: Once) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if HAVE_TORCH:
            from tests.exported import Exporter

            patch.setattr(torch.onnx, "export", Exporter(once))
        yield


@pytest.fixture
def make_onnx(tmp_path: Path) -> MakeOnnx:
    """Write an ONNX file of the given nodes from "image" to "restored"."""

    def make(
        *nodes: onnx.NodeProto,
        name: str = "model.onnx",
        channels: int = 3,
        shape: tuple[int | str, ...] | None = None,
        out_shape: tuple[int | str, ...] | None = None,
        kind: int = TensorProto.FLOAT,
        initializer: list[onnx.TensorProto] | None = None,
    ) -> Path:
        dims = shape or ("batch", channels, "height", "width")
        graph = helper.make_graph(
            list(nodes) or [helper.make_node("Identity", ["image"], ["restored"])],
            "graph",
            [helper.make_tensor_value_info("image", kind, dims)],
            [helper.make_tensor_value_info("restored", kind, out_shape or dims)],
            initializer=initializer or [],
        )
        path = tmp_path / name
        opsets = [helper.make_opsetid("", 20), *(helper.make_opsetid(n.domain, 1) for n in nodes if n.domain)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        return path

    return make


@pytest.fixture
def identity_onnx(make_onnx: MakeOnnx) -> Path:
    """A model that gives its input back."""
    return make_onnx(name="identity.onnx")


@pytest.fixture(scope="session")
def mixing_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is quick, and whose results are of neighbours and of all channels."""
    kernel = np.random.default_rng(1).normal(0.04, 0.1, (3, 3, 3, 3)).astype(np.float32)
    sizes = ("batch", 3, "height", "width")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel"], ["restored"], pads=[1, 1, 1, 1])],
        "graph",
        *([helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)] for name in ("image", "restored")),
        initializer=[numpy_helper.from_array(kernel, "kernel")],
    )
    path = tmp_path_factory.mktemp("mixing") / "mixing.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture
def tiny_network() -> NAFNet:
    """A NAFNet of two levels with random, open branches."""
    torch = pytest.importorskip("torch")
    from nafnet.architecture import NAFNet

    torch.manual_seed(0)
    model = NAFNet(TINY)
    for name, parameter in model.named_parameters():
        if name.endswith(("beta", "gamma")):
            torch.nn.init.normal_(parameter, 0, 0.5)
    return model.eval()


@pytest.fixture
def photograph() -> NDArray[np.uint8]:
    """uint8[120,180,3]: a part of a real photograph."""
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut()[20:140, 150:330])


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine with a GPU, as far as there can be one without; no rule of its libraries was broken in the end."""
    real = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX's wheels are for Linux on x86-64")
    from tests.gpu_stand_in.machine import Machine

    machine = Machine(monkeypatch, real)
    yield machine
    assert machine.broken == []
