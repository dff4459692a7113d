"""PNG's texts: what is in one, and EXIF and XMP that programs put into one, as ImageMagick and older Exiv2 do.

Source: Portable Network Graphics, third edition (W3C, 2025), section 11.3.3. The form of the profiles is ImageMagick's:
a name, the number of bytes, and the bytes in hexadecimal, which white space parts.
"""

from __future__ import annotations

import binascii
import zlib

from nafnet.images.metadata.exif import START as EXIF_START

TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_RAW = b"Raw profile type "
_KINDS = (b"exif", b"APP1", b"xmp")
_XMP_START = b"http://ns.adobe.com/xap/1.0/\0"


def text_of(name: bytes, content: bytes, most: int) -> bytes:
    """The text of a chunk behind its keyword; empty if it is damaged or has more bytes than `most`."""
    _, _, rest = content.partition(b"\0")
    if name == b"tEXt":
        return rest
    is_compressed = name == b"zTXt"
    if name == b"iTXt":
        if len(rest) < 2 or rest[2:].count(b"\0") < 2:
            return b""
        is_compressed = bool(rest[0])
        rest = rest[2:].split(b"\0", 2)[2]  # behind its language and the translated keyword
    if not is_compressed:
        return rest if len(rest) <= most else b""
    try:
        inflated = zlib.decompressobj().decompress(rest[name == b"zTXt" :], most + 1)
    except zlib.error:
        return b""
    return inflated if len(inflated) <= most else b""


def holds_profile(content: bytes) -> bool:
    """Whether a text is EXIF or XMP, by its keyword."""
    keyword = content.partition(b"\0")[0]
    return keyword.startswith(_RAW) and keyword.removeprefix(_RAW) in _KINDS


def profile_in(name: bytes, content: bytes, most: int) -> tuple[str, bytes]:
    """What a text holds, exif or xmp, and its bytes; empty if they are damaged.

    Args:
        name: of the chunk.
        content: of which `holds_profile`.
        most: bytes of the text.
    """
    kind = content.partition(b"\0")[0].removeprefix(_RAW)
    words = text_of(name, content, most).split()
    data = b""
    try:
        data = binascii.unhexlify(b"".join(words[2:]))
        if len(words) < 3 or len(data) < int(words[1]):
            data = b""
    except (ValueError, binascii.Error):
        data = b""
    if kind == b"xmp" or data.startswith(_XMP_START):
        return "xmp", data.removeprefix(_XMP_START)
    return "exif", data.removeprefix(EXIF_START)
