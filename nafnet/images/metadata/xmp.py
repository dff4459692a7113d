"""XMP made true for an upright picture: what it says of the pixels follows them, what it says of lost parts goes.

The rest of a packet stays as it is to the byte, so it is changed by its text and not written anew.
Source: XMP specification, parts 1 and 2 (Adobe, 2012 and 2016); Motion Photo format 1.0 and Ultra HDR 1.0 (Google).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_GAIN_MAP = "http://ns.adobe.com/hdr-gain-map/1.0/"
_EXTENDED = "http://ns.adobe.com/xmp/note/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_CONTAINER = "http://ns.google.com/photos/1.0/container/"
_MOTION = (
    *("MotionPhoto", "MotionPhotoVersion", "MotionPhotoPresentationTimestampUs"),
    *("MicroVideo", "MicroVideoVersion", "MicroVideoOffset", "MicroVideoPresentationTimestampUs"),
)
_LOST: dict[tuple[str, str | None], str] = {
    **{(_CAMERA, name): "the video in it" for name in _MOTION},
    (_CONTAINER, "Directory"): "the pictures or the video in it",
    (_GAIN_MAP, None): "its HDR gain map",
    (_EXTENDED, "HasExtendedXMP"): "the part of its XMP beyond 64 kB",
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails"): "",
}
"""Properties of parts that a restored file does not have, and in words what is lost; thumbnails are nobody's loss."""
_NAMED = r"""xmlns:(?P<prefix>[A-Za-z_][\w.-]*)\s*=\s*["'](?P<uri>[^"']*)["']"""


def upright(packet: bytes, width: int, height: int) -> tuple[bytes, list[str]]:
    """The packet for an upright picture of that size, and what it spoke of that is lost, in words.

    Raises:
        ValueError: it is not in UTF-8.
    """
    text = packet.decode()
    lost = []
    values = {
        (_TIFF, "Orientation"): 1, (_TIFF, "ImageWidth"): width, (_TIFF, "ImageLength"): height,
        (_EXIF, "PixelXDimension"): width, (_EXIF, "PixelYDimension"): height,
    }  # fmt: skip
    for (uri, name), value in values.items():
        for prefix in _prefixes(text, uri):
            text = _with_value(text, f"{prefix}:{name}", value)
    for (uri, name), words in _LOST.items():
        for prefix in _prefixes(text, uri):
            text, count = _without(text, f"{prefix}:{name}" if name else f"{prefix}:[\\w.-]+")
            if count and words and words not in lost:
                lost.append(words)
    return text.encode(), lost


def _prefixes(text: str, uri: str) -> Iterator[str]:
    """The prefixes that stand for a name space; by custom one."""
    return iter({found["prefix"] for found in re.finditer(_NAMED, text) if found["uri"] == uri})


def _with_value(text: str, name: str, value: int) -> str:
    """Every value of a property changed, written as an attribute or as an element."""
    text = re.sub(rf"""(\s{name}\s*=\s*)("[^"]*"|'[^']*')""", rf'\g<1>"{value}"', text)
    return re.sub(rf"(<{name}(?:\s[^<>]*)?>)[^<]*(</{name}\s*>)", rf"\g<1>{value}\g<2>", text)


def _without(text: str, name: str) -> tuple[str, int]:
    """The text without a property, and how often it stood there."""
    text, attributes = re.subn(rf"""\s{name}\s*=\s*("[^"]*"|'[^']*')""", "", text)
    text, empty = re.subn(rf"<{name}(?:\s[^<>]*)?/>", "", text)
    kept, at, elements = [], 0, 0
    for opened in re.finditer(rf"<({name})(?:\s[^<>]*)?>", text):
        if opened.start() < at:
            continue  # within the one before
        closed = text.find(f"</{opened[1]}>", opened.end())
        if closed < 0:
            break
        kept.append(text[at : opened.start()])
        at, elements = closed + len(opened[1]) + 3, elements + 1
    return "".join(kept) + text[at:], attributes + empty + elements
