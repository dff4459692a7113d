"""One file into another, for programs that want no folder."""

from __future__ import annotations

import os
from pathlib import Path

from nafnet.closing import Closing
from nafnet.errors import ImageError, UsageError
from nafnet.runtime.engine.restorer import Restorer
from nafnet.runtime.folder.decoding import Decoder
from nafnet.runtime.folder.pipeline import Pipeline
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Encoding, Limits
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.standing import Judge


class KeptDecoder(Closing):
    """A decoding process that stays between files: to start one takes longer than to restore a small picture."""

    def __init__(self) -> None:
        self._decoder = Decoder(Limits())

    def take(self) -> Decoder:
        """The decoder; another one where it was stopped, died in the meantime, or is this process's parent's."""
        if not self._decoder.is_usable:
            self._decoder.close()
            self._decoder = Decoder(Limits())
        return self._decoder

    def close(self) -> None:
        self._decoder.close()


def restore_file(
    restorer: Restorer,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    encoding: Encoding | None = None,
    *,
    overwrite: bool = False,
) -> FileReport:
    """Restore a file into another, keeping its depth and metadata unless `encoding` says otherwise.

    The file is decoded in a process of its own, which stays for the next one and ends with the restorer. The format
    is that of the target's name. What is there under that name is replaced only if `overwrite` is true.

    Returns:
        The file's row: size in pixels, tiles, seconds, and notes on what could not be kept.

    Raises:
        UsageError: the target is the source, is there already, has no folder, or a name that ends in no format or in
            another than `encoding` says.
        ImageError: it cannot be read or restored; the message says why.
        OutputError: the disk refused.
    """
    chosen = encoding or Encoding()
    job = Job(source=Path(source), target=Path(target), format=chosen.format_for(Path(target)))
    if job.target.exists() and job.source.exists() and job.target.samefile(job.source):
        raise UsageError(f"{target}: is the source itself; choose another name")
    if not job.target.parent.is_dir():
        raise UsageError(f"{target}: its folder does not exist; make it, or choose another")
    if job.target.exists() and not overwrite:
        raise UsageError(f"{target}: exists; choose another name, or pass overwrite=True")
    with restorer.exclusive():
        decoder = restorer.companion(KeptDecoder).take()
        judge = Judge(None, overwrite=overwrite)
        (row,) = Pipeline(restorer, [job], encoding=chosen, judge=judge, decoder=decoder).run()
    if row.status == "failed":
        raise ImageError(row.error or "failed")
    return row
