"""XMP made true for an upright picture: what it says of the pixels follows them, what it says of lost parts goes.

The rest of a packet stays as it is to the byte, so it is changed by its text and not written anew.
Source: XMP specification, parts 1 and 2 (Adobe, 2012 and 2016); Motion Photo format 1.0 and Ultra HDR 1.0 (Google).
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

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
    (_GAIN_MAP, None): "HDR gain map",
    (_EXTENDED, "HasExtendedXMP"): "the part of its XMP beyond 64 kB",
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails"): "",
}
"""Properties of parts that a restored file does not have, and in words what is lost; thumbnails are nobody's loss."""
_OF_PLACES: dict[tuple[str, str | None], str] = {
    ("http://www.metadataworkinggroup.com/schemas/regions/", "Regions"): "the places of faces in its XMP",
    ("http://ns.microsoft.com/photo/1.2/", "RegionInfo"): "the places of faces in its XMP",
}
"""Properties that hold for the picture before it was turned."""
_MOST_PREFIXES = 8
_ANY = r"[\w.-]+"
_NAMED = r"""xmlns:(?P<prefix>[A-Za-z_][\w.-]*)\s*=\s*["'](?P<uri>[^"']*)["']"""


def upright(packet: bytes, width: int, height: int, *, quarter: bool = False) -> tuple[bytes, list[str]]:
    """The packet for an upright picture of that size, and what it spoke of that is lost, in words.

    Args:
        packet: in UTF-8.
        width: in pixels.
        height: likewise.
        quarter: whether the picture was turned by a quarter.

    Raises:
        ValueError: it is not in UTF-8, or in a form in which it cannot be made true.
    """
    if b"\0" in packet.rstrip(b"\0"):
        raise ValueError("it is not in UTF-8")
    try:
        text = packet.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not in UTF-8") from None
    lost = []
    values = {
        (_TIFF, "Orientation"): 1, (_TIFF, "ImageWidth"): width, (_TIFF, "ImageLength"): height,
        (_EXIF, "PixelXDimension"): width, (_EXIF, "PixelYDimension"): height,
    }  # fmt: skip
    for (uri, name), value in values.items():
        if prefixes := _prefixes(text, uri):
            text = _with_value(text, f"{prefixes}:{name}", value)
    for (uri, one), words in {**_LOST, **(_OF_PLACES if quarter else {})}.items():
        if prefixes := _prefixes(text, uri):
            text, count = _without(text, f"{prefixes}:{one or _ANY}")
            if count and words and words not in lost:
                lost.append(words)
    text = _without_unused(text, _GAIN_MAP)
    _check(packet.decode(), text)
    return text.encode(), lost


def orientation(packet: bytes) -> int:
    """How a packet says that the picture is to be turned, 1 to 8; 1, as it stands, where it says nothing valid."""
    text = packet.decode(errors="replace")
    prefixes = _prefixes(text, _TIFF)
    name = rf"{prefixes}:Orientation"
    found = re.search(rf"""\s{name}\s*=\s*["']\s*([1-8])\s*["']|<{name}(?:\s[^<>]*)?>\s*([1-8])\s*<""", text)
    return int(found[1] or found[2]) if prefixes and found else 1


def _prefixes(text: str, uri: str) -> str:
    """A pattern of the prefixes that stand for a name space, by custom one; empty if there are none."""
    found = {re.escape(found["prefix"]) for found in re.finditer(_NAMED, text) if found["uri"] == uri}
    return f"(?:{'|'.join(sorted(found)[:_MOST_PREFIXES])})" if found else ""


def _without_unused(text: str, uri: str) -> str:
    """The text without the prefixes of a name space that nothing has any more: readers look for the name alone."""
    for found in list(re.finditer(rf"\s{_NAMED}", text))[::-1]:
        if found["uri"] == uri and not re.search(rf"[\s<]{re.escape(found['prefix'])}:", text):
            text = text[: found.start()] + text[found.end() :]
    return text


def _check(before: str, after: str) -> None:
    """Whoever reads it as XML reads what was meant, in whichever of XML's forms it was written."""
    if "<!DOCTYPE" in before:
        raise ValueError("it defines entities")
    try:
        ElementTree.fromstring(before.strip("\ufeff\0 \n\r\t"))
    except ElementTree.ParseError:
        return  # nobody reads it
    try:
        root = ElementTree.fromstring(after.strip("\ufeff\0 \n\r\t"))
    except ElementTree.ParseError as error:
        raise ValueError(f"changed, it would be damaged: {error}") from None
    name = f"{{{_TIFF}}}Orientation"
    said = [element.get(name) for element in root.iter() if element.get(name) is not None]
    said += ["".join(element.itertext()) for element in root.iter(name)]
    if any((value or "").strip() != "1" for value in said):
        raise ValueError("its orientation is in a form that is not changed")


def _with_value(text: str, name: str, value: int) -> str:
    """Every value of a property changed, written as an attribute or as an element; `name` is a pattern."""
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
        closed = re.compile(rf"</{re.escape(opened[1])}\s*>").search(text, opened.end())
        if closed is None:
            break
        kept.append(text[at : opened.start()])
        at, elements = closed.end(), elements + 1
    return "".join(kept) + text[at:], attributes + empty + elements
