"""`--html`: a page of what a run did, each picture before and after under a slider.

Of a large picture the part that changed most is shown, pixel by pixel; scaled down, noise and blur could not be seen.
Files are read in bands, twice, in the process that decodes, so what is large or damaged is none of the page's concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nafnet.errors import NafnetError
from nafnet.files import Place, write_whole
from nafnet.images.shown import Shown
from nafnet.page import picture_uri, render
from nafnet.runtime.folder.decoding import Decoder
from nafnet.runtime.folder.region import cut_out, most_changed
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import Limits
from nafnet.system import SYSTEM

MOST_PICTURES = 40
"""A page of more would be too large to open."""


def write_gallery(
    path: Path, rows: Sequence[FileReport], *, opening: str, summary: str, limits: Limits | None,
    place: Place = SYSTEM.replace,
) -> None:  # fmt: skip
    """Write the page, whole or not at all.

    Args:
        path: of the page.
        rows: of all files.
        opening, summary: what the run printed before and after.
        limits: what one picture that is opened may take; None shows none, as the run was cut short.
        place: gives the page its name; see `nafnet.files.whole_file`.
    """
    done = [row for row in rows if row.status in ("restored", "unchanged")]
    shown: list[dict[str, Any]] = []
    stop = None
    try:
        if limits:
            _show(done[:MOST_PICTURES], limits, shown)
    except KeyboardInterrupt as interrupt:  # the page is written without the rest, and then it goes on its way
        stop = interrupt
    html = render(
        "nafnet.runtime.folder", "gallery.html", shown=shown, left_out=len(done) - len(shown), opening=opening,
        summary=summary, failed=[row for row in rows if row.status == "failed"], cut_short=stop or not limits,
    )  # fmt: skip
    write_whole(path, html.encode(errors="replace"), place=place)
    if stop:
        raise stop


def _show(rows: Sequence[FileReport], limits: Limits, shown: list[dict[str, Any]]) -> None:
    with Decoder(limits) as decoder:
        for row in rows:
            try:
                shown.append(_entry(row, decoder))
            except NafnetError as error:  # it was changed or taken away since
                shown.append({"row": row, "picture": None, "reason": str(error)})


def _entry(row: FileReport, decoder: Decoder) -> dict[str, Any]:
    before, after = Path(row.input), Path(row.output)
    left, top = most_changed(before, after, decoder)
    cut = [cut_out(file, left, top, decoder) for file in (before, after)]
    height, width = cut[0].shape[:2]
    uris = [picture_uri(part, _profile(file, decoder)) for part, file in zip(cut, (before, after), strict=True)]
    return {
        "row": row, "before": uris[0], "after": uris[1], "width": width, "height": height,
        "whole": (width, height) == (row.width, row.height * row.frames), "picture": True,
    }  # fmt: skip


def _profile(path: Path, decoder: Decoder) -> bytes:
    """That of its colours; a picture of grey is shown as one of colours, to which its own does not apply."""
    header = decoder.header(path)
    return Shown.of(header).icc if header.channels == 3 else b""
