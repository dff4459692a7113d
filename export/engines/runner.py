"""Run a TensorRT engine on the GPU for the parity gate, with torch for the memory.

This is the gate's runner: one batch at a time, no overlap of copies and compute. Not run on hardware yet.
"""

from __future__ import annotations

from typing import Any

import torch

from nafnet.enginelog import log_of, reason
from nafnet.errors import EngineError, speaks_of_memory
from nafnet.spec import WireType
from nafnet.wire import Batch, from_wire, to_wire


class EngineRunner:
    """float32[N,C,H,W] -> float32[N,C,H,W] through a plan.

    Args:
        trt: the module that built the plan.
        plan: its bytes, which must be one's own: a plan is native code.
        wire: the type of the engine's input and output.

    Raises:
        EngineError: the library cannot load it on this GPU; the message says why.
    """

    def __init__(self, trt: Any, plan: bytes, wire: WireType) -> None:
        self._wire = wire
        self._log = log_of(trt)
        with self._log.errors_within() as errors:
            self._runtime = trt.Runtime(self._log.logger)
            self._runtime.engine_host_code_allowed = True  # it was built here
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                built = f"TensorRT {trt.__version__} built an engine that it cannot load on this GPU"
                raise EngineError(f"{built} ({reason(errors)})")
            self._context = self._engine.create_execution_context()
            if self._context is None:
                memory = (
                    "; the GPU's memory does not suffice" if speaks_of_memory(" ".join(errors)) or not errors else ""
                )
                raise EngineError(f"TensorRT made no execution context ({reason(errors)}){memory}")
        self._stream = torch.cuda.Stream()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        (self._input,), (self._output,) = inputs, [name for name in names if name not in inputs]

    def __call__(self, batch: Batch) -> Batch:
        """Run one batch, from host to host."""
        sent = torch.from_numpy(to_wire(batch, self._wire)).cuda()
        received = torch.empty_like(sent)
        if not self._context.set_input_shape(self._input, tuple(sent.shape)):
            raise EngineError(f"the engine takes no batch of shape {list(sent.shape)}")
        for name, tensor in ((self._input, sent), (self._output, received)):
            if not self._context.set_tensor_address(name, tensor.data_ptr()):
                raise EngineError(f"the engine takes no memory for {name}")
        self._stream.wait_stream(torch.cuda.current_stream())
        with self._log.errors_within() as errors:
            done = self._context.execute_async_v3(self._stream.cuda_stream)
        self._stream.synchronize()
        if not done:
            raise EngineError(f"the engine failed on a batch of shape {list(sent.shape)} ({reason(errors)})")
        return from_wire(received.cpu().numpy(), self._wire)

    def close(self) -> None:
        """Free the GPU's memory."""
        del self._context, self._engine, self._runtime
