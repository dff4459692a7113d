"""The CUDA and TensorRT code as far as it goes without a GPU: every name it calls is one that the libraries have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nafnet.errors import BackendError
from nafnet.runtime.backends import cuda_memory, presence
from nafnet.runtime.backends.cuda_memory import Cuda

SOURCE = Path(cuda_memory.__file__).read_text(encoding="utf-8")


def test_every_function_of_cuda_that_is_called_exists() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")
    names = set(re.findall(r'"(cuda[A-Z]\w+)"', SOURCE)) | set(re.findall(r"api\.(cuda\w+)", SOURCE))
    assert len(names) > 15
    assert not [name for name in sorted(names) if not hasattr(runtime, name)]
    for kind, member in re.findall(r"api\.(cuda\w+)\.(cuda\w+)", SOURCE):
        assert hasattr(getattr(runtime, kind), member), member


def test_without_a_driver_cuda_says_so() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    if presence.cuda_devices():
        pytest.skip("there is a GPU")
    with pytest.raises(BackendError, match=r"cudaSetDevice on device 0: cudaError\w+"):
        Cuda(0)


def test_every_method_of_tensorrt_that_is_called_exists() -> None:
    trt = pytest.importorskip("tensorrt_rtx_bindings")
    for kind, names in {
        trt.Runtime: ("deserialize_cuda_engine",),
        trt.ICudaEngine: ("get_tensor_name", "num_io_tensors", "get_tensor_mode", "create_execution_context"),
        trt.IExecutionContext: ("set_input_shape", "set_tensor_address", "execute_async_v3"),
        trt.TensorIOMode: ("INPUT",),
        trt.Logger: ("ERROR",),
    }.items():
        assert not [name for name in names if not hasattr(kind, name)], kind
