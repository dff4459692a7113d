"""Several processes that train one model: what `torchrun` started, or one process alone."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import gc
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from nafnet.errors import BackendError, TrainingError, UsageError
from nafnet.words import counted

# All others wait while the leading process decodes a data set or draws the images; one that dies is noticed at once all
# the same, by its closed connection or by torchrun.
TIMEOUT = datetime.timedelta(hours=12)


@dataclasses.dataclass(frozen=True)
class World:
    """Which of how many processes this is, and on which device it computes."""

    rank: int = 0
    size: int = 1
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, on each of them; in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def same(self, value: Any) -> Any:
        """The leading process's value, on each of them."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextlib.contextmanager
def joined(device: str) -> Iterator[World]:
    """The world that torchrun's environment describes: NCCL on GPUs, gloo on the CPU.

    Args:
        device: auto, cpu, cuda or cuda:N; with several processes, cuda means the GPU of the process's local rank.

    Raises:
        BackendError: no such device.
        TrainingError: another process is gone.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = _device(device, local)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if size == 1:
        yield World(device=chosen)
        return
    try:
        store, rank, size = next(rendezvous("env://"))
    except ValueError as error:  # a variable is missing
        raise UsageError(
            f"WORLD_SIZE is {size}, and the rest of torchrun's environment is not there ({error})"
        ) from error
    # After a restart torchrun's store still has the addresses of the processes before it (seen with torch 2.13).
    attempt = PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=attempt, rank=rank, world_size=size, timeout=TIMEOUT)
    try:
        world = World(rank, size, chosen)
        yield world
        world.wait()  # nobody leaves while another still writes
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        reason = str(error).rpartition("] ")[2].split(". ")[0]
        raise TrainingError(
            f"rank {rank} lost another process ({reason}); torchrun starts all anew with --max-restarts"
        ) from error
    finally:
        gc.collect()  # a DistributedDataParallel that outlives its group can abort the process at its end
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BackendError(f"--device {name}: expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise BackendError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or local_rank) >= torch.cuda.device_count():
        raise BackendError(f"--device {name}: found {counted(torch.cuda.device_count(), 'NVIDIA GPU')} here")
    return torch.device("cuda", local_rank) if device.type == "cuda" and device.index is None else device
