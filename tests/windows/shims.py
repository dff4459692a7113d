"""What Wine 8 lacks of Windows' C library, made without a compiler: functions of complex numbers, and ProcessPrng.

NumPy calls the former and ends the process where they are missing, libvips cannot be loaded without the latter.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

_BUILTIN = slice(0x40, 0x60)
"""Where Wine marks a library as its own; without that it is taken for Windows'."""
# The calling convention: a float complex is in rcx, the address of a double complex is; a long double is a double.
# movd xmm0, ecx; shr rcx, 32; movsd xmm0, [rcx]; movsd xmm0, [rcx+8]; ret.
_PARTS = {
    "crealf": "660f6ec1c3", "cimagf": "48c1e920660f6ec1c3", "creal": "f20f1001c3", "creall": "f20f1001c3",
    "cimag": "f20f104108c3", "cimagl": "f20f104108c3",
}  # fmt: skip
_RE_IM, _IM_RE = "f20f1001f20f104908", "f20f104108f20f1009"
_RE_IM_OF_FLOATS, _IM_RE_OF_FLOATS = "660f6ec148c1e920660f6ec9", "660f6ec948c1e920660f6ec1"
_JUMPS = {
    "cabs": (_RE_IM, "hypot"), "cabsl": (_RE_IM, "hypot"), "cabsf": (_RE_IM_OF_FLOATS, "_hypotf"),
    "carg": (_IM_RE, "atan2"), "cargl": (_IM_RE, "atan2"), "cargf": (_IM_RE_OF_FLOATS, "atan2f"),
}  # fmt: skip
"""The two parts are loaded in this order, and the function of two numbers is jumped to."""


def complete(ucrtbase: Path, home: Path, pefile: Any) -> list[str]:
    """Write a copy of Wine's C library in which functions that only say that they are missing do what they are to.

    Args:
        ucrtbase: Wine's.
        home: the folder of the program that is to find the copy; nothing is written where nothing is missing.
        pefile: the library of this name.

    Returns:
        The functions that were written.
    """
    library = pefile.PE(str(ucrtbase))
    content = bytearray(ucrtbase.read_bytes())
    places = {each.name.decode(): each.address for each in library.DIRECTORY_ENTRY_EXPORT.symbols if each.name}
    written = []
    for name in (*_PARTS, *_JUMPS):
        if (place := places.get(name)) is None or not _is_missing(library, place, name):
            continue
        code = bytes.fromhex(_PARTS.get(name, ""))
        if not code:
            loads, target = _JUMPS[name]
            code = bytes.fromhex(loads)
            code += b"\xe9" + struct.pack("<i", places[target] - (place + len(code) + 5))
        room = min(other - place for other in places.values() if other > place)
        if len(code) > room:
            raise ValueError(f"{name} has {room} bytes in {ucrtbase}, {len(code)} are needed")
        start = library.get_offset_from_rva(place)
        content[start : start + len(code)] = code
        written.append(name)
    if written:
        content[_BUILTIN] = bytes(_BUILTIN.stop - _BUILTIN.start)
        (home / "ucrtbase.dll").write_bytes(content)
    return written


def _is_missing(library: Any, place: int, name: str) -> bool:
    """Whether a function only tells its own name to Wine's "not implemented": lea rdx, [name] is in it."""
    code = library.get_data(place, 64)
    found = re.search(rb"\x48\x8d\x15(....)", code, re.DOTALL)
    if found is None:
        return False
    told = library.get_string_at_rva(place + found.end() + int.from_bytes(found[1], "little", signed=True))
    return told is not None and bool(told.decode("ascii", "replace") == name)


def forwarder(name: str, exports: dict[str, str]) -> bytes:
    """A library for Windows on x86-64 without code, whose functions are those of others.

    Args:
        name: its file name.
        exports: a function to "library.function".
    """
    start, step = 0x1000, 0x200  # where its one section is in memory; files are in steps
    table = _export_table(name, exports, start)
    raw = -(-len(table) // step) * step
    stub = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 240, 0x2022)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        0x20B, 14, 0, 0, raw, 0, 0, start, 0x180000000, start, step, 6, 0, 0, 0, 6, 0, 0, 2 * start, step, 0, 2, 0x160,
        0x100000, 0x1000, 0x100000, 0x1000, 0, 16,
    )  # fmt: skip
    directories = struct.pack("<II", start, len(table)) + bytes(15 * 8)
    section = struct.pack("<8sIIIIIIHHI", b".edata", len(table), start, raw, step, 0, 0, 0, 0, 0x40000040)
    return (stub + coff + optional + directories + section).ljust(step, b"\0") + table.ljust(raw, b"\0")


def _export_table(name: str, exports: dict[str, str], start: int) -> bytes:
    """The directory, three lists of one entry for each function, and the strings that they lead to."""
    names, count, head = sorted(exports), len(exports), 40
    lists = [start + head + offset * count for offset in (0, 4, 8)]
    table = bytearray(head + 10 * count)

    def string(text: str) -> int:
        table.extend(text.encode("ascii") + b"\0")
        return start + len(table) - len(text) - 1

    own = string(name)
    for index, each in enumerate(names):
        struct.pack_into("<I", table, head + 4 * index, string(exports[each]))
        struct.pack_into("<I", table, head + 4 * count + 4 * index, string(each))
        struct.pack_into("<H", table, head + 8 * count + 2 * index, index)
    struct.pack_into("<IIHHIIIIIII", table, 0, 0, 0, 0, 0, own, 1, count, count, *lists)
    return bytes(table)
