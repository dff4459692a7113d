"""`nafnet-run --ray`: the same restorer as actors of Ray Data's `map_batches`, on one machine or a cluster.

Every node needs this package and sees the same files under the same paths. Each actor keeps a journal of its own in
the output folder, so what was done before a node was lost is not done again.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nafnet.errors import MissingExtraError, NafnetError, UsageError
from nafnet.runtime.backends import REGISTRY
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Encoding, Limits
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.journal import Journal
from nafnet.runtime.paths.outputs import Outputs
from nafnet.runtime.paths.shard import Shard
from nafnet.runtime.paths.standing import Judge

FILES_PER_BATCH = 8
"""What an actor is given at once, and does again but for what its journal has, if it is lost."""
MOST_THREADS = 8
"""CPU threads of an actor where nobody said; beyond it one network gains less than a second actor does."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RayPlan:
    """Everything an actor needs; it is pickled to its node."""

    model_options: dict[str, Any]
    encoding: Encoding
    limits: Limits
    folder: Path
    key: str
    shard: Shard
    outputs: Outputs
    folders: tuple[Path, ...]
    """That the run writes to; they are there."""
    overwrite: bool
    checksum: bool
    started: float
    """When the run began, in seconds since 1970: what a lost actor did since then is this run's work."""


class RayPipeline:
    """Restores a list of files on Ray; used like `nafnet.runtime.folder.pipeline.Pipeline`.

    Args:
        address: of the cluster, or "local".
        plan: what the actors do.
        jobs: what to restore and where to write it.
        on_done: called with each finished row.

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, address: str, plan: RayPlan, jobs: Sequence[Job], on_done: Callable[[FileReport], None]) -> None:
        try:
            import ray.data  # noqa: F401, not used before `run`
        except ImportError as error:
            raise MissingExtraError(f"{error.name}, which --ray needs,", "ray") from error
        self._address, self._plan, self._on_done = address, plan, on_done
        self._jobs = [_absolute(job) for job in jobs]
        self.reports = [FileReport.of(job) for job in jobs]
        self.stuck = False
        """As `Pipeline`'s; Ray ends its own processes."""

    def run(self) -> list[FileReport]:
        """Restore all; returns a row for each job, in their order."""
        import ray

        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        started_here = not ray.is_initialized()
        if started_here:
            self._connect(ray)
        try:
            for row in self._dataset(ray).iter_rows():
                self._take(row)
        except ray.exceptions.RayError as error:
            raise UsageError(f"--ray: {str(error).strip().splitlines()[-1]}; run the same again: it goes on") from error
        finally:
            if started_here:
                ray.shutdown()
        return self.reports

    def _connect(self, ray: Any) -> None:
        address = None if self._address == "local" else self._address
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, OSError, TypeError) as error:
            raise UsageError(f"--ray {self._address}: cannot connect ({error}); expected local or HOST:PORT") from error

    def _dataset(self, ray: Any) -> Any:
        """The rows of the report, as they are made."""
        ray.data.DataContext.get_current().enable_progress_bars = False
        share = share_of(ray.cluster_resources(), self._plan.model_options)
        actors = share.actors
        plan = dataclasses.replace(self._plan, model_options={**self._plan.model_options, **share.model_options})
        # Pickled by us: Arrow has no type for a path, and says so in a warning for each.
        jobs = [{"index": index, "job": pickle.dumps((plan, job))} for index, job in enumerate(self._jobs)]
        blocks = max(-(-len(jobs) // FILES_PER_BATCH), actors)
        return ray.data.from_items(jobs, override_num_blocks=min(blocks, len(jobs))).map_batches(
            RestoringActor, batch_size=FILES_PER_BATCH, batch_format="numpy", num_cpus=share.cpus, num_gpus=share.gpus,
            compute=ray.data.ActorPoolStrategy(min_size=actors, max_size=actors),
        )  # fmt: skip

    def _take(self, row: dict[str, Any]) -> None:
        kept = self.reports[int(row["index"])]
        for name, value in row["row"].items():
            if name not in ("input", "output"):
                setattr(kept, name, value)
        self._on_done(kept)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """How a cluster is divided among actors."""

    actors: int
    cpus: int
    """Of each actor."""
    gpus: int | None
    """Of each actor: Ray shows it those alone, and none at all unless some are asked for."""
    model_options: dict[str, Any]
    """What the share changes in the arguments of `Restorer.load`."""


def share_of(resources: dict[str, float], model_options: dict[str, Any]) -> Share:
    """An actor for each GPU where the model may run on one, else for each `threads` CPUs.

    Args:
        resources: of the cluster, as Ray tells them.
        model_options: the arguments of `Restorer.load`.

    Raises:
        UsageError: more GPUs than one are asked for each actor.
    """
    cpus, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
    backend, device = model_options["backend"], model_options["device"]
    on_gpu = (backend == "auto" or REGISTRY[backend].device == "cuda") and (device or "cuda").startswith("cuda")
    if on_gpu and device and device != "cuda":
        raise UsageError(f"--device {device}: Ray gives each worker a GPU of its own; expected --device cuda")
    if on_gpu and gpus:
        each = max(cpus // gpus, 1)
        return Share(actors=gpus, cpus=min(each, MOST_THREADS), gpus=1, model_options={})
    threads = model_options["threads"] or min(MOST_THREADS, cpus)
    return Share(actors=max(cpus // threads, 1), cpus=threads, gpus=None, model_options={"threads": threads})


class RestoringActor:
    """Restores the files it is given, one batch of jobs after the other."""

    def __init__(self) -> None:
        self._plan: RayPlan | None = None
        self._said: list[str] = []

    def _load(self, plan: RayPlan) -> None:
        self._plan = plan
        self._restorer = Restorer.load(**plan.model_options, say=self._said.append)
        name = f"ray-{socket.gethostname().replace('.', '-')[:40]}-{os.getpid()}"
        self._journal = Journal(plan.folder, plan.key, plan.shard, name=name)
        self._judge = Judge(self._journal, overwrite=plan.overwrite, since=plan.started, checksum=plan.checksum)
        self._journal.open(plan.folders)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        given: list[tuple[RayPlan, Job]] = [pickle.loads(pickled) for pickled in batch["job"]]
        plan, jobs = given[0][0], [job for _, job in given]
        if self._plan is None:
            self._load(plan)
        self._journal.reread()
        pipeline = Pipeline(
            self._restorer, jobs, encoding=plan.encoding, limits=plan.limits, outputs=plan.outputs,
            journal=self._journal, judge=self._judge,
        )  # fmt: skip
        try:
            pipeline.run()
        except NafnetError as error:  # the folder takes no more: the driver is to hear of it for each file
            for row in pipeline.reports:
                if row.status == "skipped":
                    row.status, row.error = "failed", str(error)
        for row in pipeline.reports[:1]:  # what loading had to say is told with the first file
            row.notes += self._said
            self._said.clear()
        return {"index": list(batch["index"]), "row": [dataclasses.asdict(row) for row in pipeline.reports]}


def ray_plan(
    model_options: dict[str, Any], encoding: Encoding, limits: Limits, outputs: Outputs, folders: Sequence[Path],
    journal: Journal, *, overwrite: bool, checksum: bool,
) -> RayPlan:  # fmt: skip
    """What the actors do, with paths that hold on every node."""
    model = model_options["model"]
    named = {**model_options, "model": str(Path(model).absolute()) if model else None}
    compare = outputs.compare.absolute() if outputs.compare else None
    absolute = Outputs(folder=journal.folder.absolute(), compare=compare)
    return RayPlan(
        model_options=named, encoding=encoding, limits=limits, folder=journal.folder.absolute(), key=journal.key,
        shard=journal.shard, outputs=absolute, folders=tuple(folder.absolute() for folder in folders),
        overwrite=overwrite, checksum=checksum, started=time.time(),
    )  # fmt: skip


def _absolute(job: Job) -> Job:
    compare = job.compare.absolute() if job.compare else None
    return dataclasses.replace(job, source=job.source.absolute(), target=job.target.absolute(), compare=compare)
