"""The contact sheet of several strengths: the part of a photograph that changed most, of it and of each, side by side.

It is made of the files, so of those that an earlier run made as well, and shows what they hold. The parts are 1:1, and
in the photograph's colours.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nafnet.closing import Closing
from nafnet.errors import NafnetError
from nafnet.files import Place
from nafnet.images.header import Header
from nafnet.images.metadata.metadata import Metadata
from nafnet.images.shown import Shown
from nafnet.images.writer import ImageWriter
from nafnet.runtime.folder.decoding import Decoder, DecoderStopped
from nafnet.runtime.folder.item import FileItem
from nafnet.runtime.folder.photograph import PhotographItem
from nafnet.runtime.folder.publisher import Publisher, permissions
from nafnet.runtime.folder.region import Pixels, cut_out, most_changed
from nafnet.runtime.folder.settings import Limits
from nafnet.runtime.paths.journal import settings_key
from nafnet.runtime.paths.standing import Judge, State
from nafnet.runtime.paths.targets import strength_word
from nafnet.system import SYSTEM

QUALITY = 95
NO_SHEET = "no contact sheet"
GAP = 8
"""Pixels around each part,"""
LABEL = 28
"""of the line above it,"""
_LETTERS = 18
"""and of what stands in it."""
_GROUND, _INK = 32, 230


class Sheets(Closing):
    """Makes the contact sheets of a run, one after the other, beside its other work.

    A sheet that cannot be made is noted of the photograph's first file: the files are good as they are.

    Args:
        publisher: gives finished ones their names.
        judge: knows how they stand.
        limits: what one picture that is opened may take.
    """

    def __init__(self, publisher: Publisher, judge: Judge, limits: Limits) -> None:
        self._publisher, self._judge = publisher, judge
        self._decoder = Decoder(limits)
        self._settled: queue.SimpleQueue[PhotographItem | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._over = threading.Event()

    def add(self, photograph: PhotographItem) -> None:
        """From any thread: its files are settled, and its sheet is to be made, if it has one and that is not done."""
        if photograph.sheet is None:
            return
        self._settled.put(photograph)
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sheets", daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Wait until all that were added are done."""
        self._settled.put(None)
        if self._thread:
            self._over.wait()

    def close(self) -> None:
        """Stop; what is under way is dropped."""
        self._decoder.stop()
        self._settled.put(None)
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            with self._decoder:
                while photograph := self._settled.get():
                    self._make(photograph)
        except DecoderStopped:
            pass
        finally:
            self._over.set()

    def _make(self, photograph: PhotographItem) -> None:
        files = [file for file in photograph.files if file.row.status in ("restored", "unchanged")]
        if not files or photograph.sheet is None:
            return
        try:
            self._write(photograph.sheet, photograph.source, files)
        except Exception as error:  # the boundary between one photograph's sheet and the others
            kind = "" if isinstance(error, NafnetError) else f"{type(error).__name__}: "
            files[0].row.notes.append(f"{NO_SHEET}: {kind}{error}")

    def _write(self, path: Path, source: Path, files: Sequence[FileItem]) -> None:
        key = settings_key({"shown": [[file.job.strength, file.result_sha256] for file in files]})
        standing = self._judge.sheet(path, key)
        if standing.state is State.DONE:
            return
        files[0].digest = files[0].digest or self._decoder.digest(source)
        strengths = {file.job.target: file.job.strength or 0.0 for file in files}
        write_sheet(
            path, source, strengths, self._decoder, tag=self._publisher.tag, mode=permissions(files[0].job),
            place=self._publisher.sheet(files[0], key, standing.identity),
        )  # fmt: skip


def write_sheet(
    path: Path, source: Path, strengths: dict[Path, float], decoder: Decoder, *, tag: str = "",
    place: Place = SYSTEM.replace, mode: int = 0o666,
) -> None:  # fmt: skip
    """Write a contact sheet, whole or not at all.

    Args:
        path: of the JPEG; its folder exists.
        source: the photograph.
        strengths: its restored files, in the order in which they are shown, with the strength of each.
        decoder: reads them.
        tag: goes into the names of temporary files.
        place: gives the finished file its name.
        mode: permissions of the file, of which the umask takes some away.

    Raises:
        NafnetError: one cannot be read, they differ in size, or the sheet cannot be written.
    """
    header = decoder.header(source)
    shown = Shown.of(header)
    left, top = most_changed(source, max(strengths, key=strengths.__getitem__), decoder)
    named = [(source, "original"), *((file, f"strength {strength_word(each)}") for file, each in strengths.items())]
    parts = []
    for file, name in named:
        how = dataclasses.replace(shown, given=decoder.header(file).space)
        parts.append(_labelled(name, cut_out(file, left, top, decoder, how)))
    sheet = np.concatenate(parts, axis=1)
    sheet = np.pad(sheet, ((0, GAP), (0, GAP), (0, 0)), constant_values=_GROUND)
    target = Header(
        width=sheet.shape[1], height=sheet.shape[0], format="jpeg", channels=sheet.shape[2], alpha=False,
        pixel_type="uint8", bits=8, lossless=False, metadata=Metadata(icc=shown.icc),
    )  # fmt: skip
    with ImageWriter(path, target, quality=QUALITY, tag=tag, place=place, mode=mode) as writer:
        writer.write(sheet)
        writer.finish()


def _labelled(name: str, part: Pixels) -> Pixels:
    """A part, uint8[h,w,C], below its name, and with a gap above both and to their left."""
    from PIL import Image, ImageDraw, ImageFont  # which no other run needs

    font = ImageFont.load_default(_LETTERS)
    height, width, channels = part.shape
    width = max(width, int(font.getlength(name)) + 1)
    label = Image.new("L", (width, LABEL), _GROUND)
    ImageDraw.Draw(label).text((0, 0), name, fill=_INK, font=font)
    made = np.full((GAP + LABEL + height, GAP + width, channels), _GROUND, np.uint8)
    made[GAP : GAP + LABEL, GAP:] = np.asarray(label)[:, :, None]
    made[GAP + LABEL :, GAP : GAP + part.shape[1]] = part
    return made
