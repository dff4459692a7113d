"""Pictures that carry something of every kind, made by Pillow and by hand."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WIDTH, HEIGHT = 80, 60
PIXELS = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
ORIENTATION, ARTIST, ISO, LATITUDE, MAKER_NOTE = 0x0112, 0x013B, 0x8827, 2, 0x927C
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
SONY_LIKE = (
    b"SONY DSC \0\0\0" + b"\x01\x00\x01\x20\x02\x00\x20\0\0\0\x34\x12\0\0" + b"pointed to by its place in the file"
)
RECORDS = b"\x1c\x02\x19\x00\x04bird"
XMP = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description rdf:about='' xmlns:t='http://ns.adobe.com/tiff/1.0/' xmlns:exif='http://ns.adobe.com/exif/1.0/'
 xmlns:dc='http://purl.org/dc/elements/1.1/' t:Orientation='6' exif:PixelXDimension="80">
<t:ImageWidth>80</t:ImageWidth><dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Grüße</rdf:li></rdf:Alt></dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>""".encode()


def exif(*, orientation: int = 6, note: bytes = b"") -> Image.Exif:
    made = Image.Exif()
    made[ORIENTATION], made[ARTIST] = orientation, "Somebody"
    made[EXIF_IFD] = {ISO: 200, 0xA002: WIDTH, 0xA003: HEIGHT, **({MAKER_NOTE: note} if note else {})}
    made[GPS_IFD] = {1: "N", LATITUDE: (47.0, 6.0, 0.0)}
    return made


def resources(*, thumbnail: bool = True) -> bytes:
    """Photoshop's: IPTC and a thumbnail."""
    blocks = [(0x0404, RECORDS)] + ([(0x040C, b"thumbnail of the picture before")] if thumbnail else [])
    return b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + b"\0" * (len(data) % 2) for number, data in blocks
    )


def jpeg(path: Path, **options: Any) -> Path:
    given: dict[str, Any] = {"exif": exif(), "icc_profile": PROFILE, "xmp": XMP, "dpi": (300, 300), "quality": 95}
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "jpeg", comment=b"a comment", **{**given, **options})
    irb = b"Photoshop 3.0\0" + resources()
    data = stream.getvalue()
    path.write_bytes(data[:2] + b"\xff\xed" + struct.pack(">H", len(irb) + 2) + irb + data[2:])
    return path


def png(path: Path, *chunks: tuple[bytes, bytes], **options: Any) -> Path:
    """A PNG with further chunks before its pixels."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "Grüße")  # Latin-1
    texts.add_itxt("Author", "作者", zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    given: dict[str, Any] = {"exif": exif(), "icc_profile": PROFILE, "dpi": (300, 300), "pnginfo": texts}
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "png", **{**given, **options})
    data = stream.getvalue()
    made = b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
    path.write_bytes(data[:33] + made + data[33:])
    return path


def tiff(path: Path, **options: Any) -> Path:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ORIENTATION], tags[ARTIST], tags[700] = 6, "Somebody", XMP
    tags[EXIF_IFD], tags[GPS_IFD] = {ISO: 200}, {1: "N", LATITUDE: (47.0, 6.0, 0.0)}
    tags.tagtype[34377], tags[34377] = 7, resources()
    given: dict[str, Any] = {"tiffinfo": tags, "icc_profile": PROFILE, "dpi": (300, 300)}
    Image.fromarray(PIXELS).save(path, "tiff", **{**given, **options})
    return path


def webp(path: Path) -> Path:
    Image.fromarray(PIXELS).save(path, "webp", exif=exif(), icc_profile=PROFILE, xmp=XMP)
    return path


def avif(path: Path) -> Path:
    # Its orientation is the container's, which Pillow writes from the EXIF.
    Image.fromarray(PIXELS).save(path, "avif", exif=exif(), icc_profile=PROFILE, xmp=XMP)
    return path


MAKERS = {"jpg": jpeg, "png": png, "tif": tiff, "webp": webp, "avif": avif}
