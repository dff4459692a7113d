"""PBM, PGM and PPM, written by the Netpbm manual and read by Pillow."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nafnet.errors import ImageError
from nafnet.images.file import read_header, read_image, write_image
from nafnet.images.reader import open_image
from nafnet.runtime.paths.work import Request, find_work

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 37, 53


def made(channels: int, largest: int) -> NDArray[np.int64]:
    pixels = RNG.integers(0, largest, (HEIGHT, WIDTH, channels), endpoint=True)
    pixels[0, 0], pixels[0, 1] = 0, largest
    return pixels


def plain(pixels: NDArray[np.int64], largest: int, *, comments: bool = False) -> bytes:
    """P2 or P3; at most 70 characters a line, as the manual has it."""
    numbers = [str(value) for value in pixels.ravel()]
    lines = [" ".join(numbers[at : at + 11]) for at in range(0, len(numbers), 11)]
    if comments:
        lines = [f"{line} # a comment of 12 34\n" + "#" * (at % 3) for at, line in enumerate(lines)]
    head = f"P{2 if pixels.shape[2] == 1 else 3}\n{WIDTH} {HEIGHT}\n{largest}\n"
    return (head + "\n".join(lines) + "\n").encode()


def binary(pixels: NDArray[np.int64], largest: int) -> bytes:
    head = f"P{5 if pixels.shape[2] == 1 else 6}\n{WIDTH} {HEIGHT}\n{largest}\n".encode()
    return head + pixels.astype(">u2" if largest > 255 else "u1").tobytes()


@pytest.mark.parametrize("largest", [1, 15, 100, 255, 256, 1023, 4095, 65534, 65535])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", ["plain", "commented", "binary"])
def test_values_are_spread_over_the_range(form: str, channels: int, largest: int, tmp_path: Path) -> None:
    pixels, path = made(channels, largest), tmp_path / "a.ppm"
    path.write_bytes(binary(pixels, largest) if form == "binary" else plain(pixels, largest, comments=form != "plain"))
    white = 255 if largest < 256 else 65535
    image = read_image(path)
    assert image.pixels.dtype == (np.uint8 if white == 255 else np.uint16)
    assert np.array_equal(image.pixels, np.rint(pixels * (white / largest)))
    notes = () if largest == white else (f"values of up to {largest} became ones of up to {white}",)
    assert read_header(path).notes == notes
    bands = open_image(path).rows(5)
    assert np.array_equal(np.concatenate(list(bands)), image.pixels)


@pytest.mark.parametrize("largest", [255, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_binary_and_others_read_it(channels: int, largest: int, tmp_path: Path) -> None:
    pixels = made(channels, largest)
    (tmp_path / "a.ppm").write_bytes(plain(pixels, largest))
    write_image(tmp_path / "b.ppm", read_image(tmp_path / "a.ppm"))
    assert (tmp_path / "b.ppm").read_bytes() == binary(pixels, largest)


@pytest.mark.parametrize("form", ["apart", "together", "commented", "binary"])
def test_bits(form: str, tmp_path: Path) -> None:
    """1 is black; in plain text white space between them may be left out."""
    bits = RNG.integers(0, 2, (HEIGHT, WIDTH))
    apart = {"apart": " ", "together": "", "commented": "#1 0\n"}.get(form, "")
    head = f"P{4 if form == 'binary' else 1}\n# one\n{WIDTH}#two\n {HEIGHT}\n".encode()
    body = "\n".join(apart.join(map(str, row)) for row in bits).encode()
    (tmp_path / "a.pbm").write_bytes(head + (np.packbits(bits, axis=1).tobytes() if form == "binary" else body))
    expected = (255 * (1 - bits)).astype(np.uint8)
    assert np.array_equal(read_image(tmp_path / "a.pbm").pixels[..., 0], expected)
    assert read_header(tmp_path / "a.pbm").notes == ("1 bit became 8",)
    if form in ("apart", "binary"):  # Pillow takes no comment there
        with Image.open(tmp_path / "a.pbm") as opened:
            assert np.array_equal(np.asarray(opened.convert("L")), expected)


@pytest.mark.parametrize(
    "head",
    [
        b"P6 53 37 255\n", b"P6\n53\t37\r255\v", b"P6#a\n53#b\n37#c\n255#d\n",
        b"P6\n# a\n#b\r  # c\n53\n#\n37 \n\n255 ", b"P6\n#" + b"x" * 60000 + b"\n53 37\n255\n", b"P6 0053 37 0255\n",
    ],
)  # fmt: skip
def test_white_space_and_comments_of_a_header(head: bytes, tmp_path: Path) -> None:
    """One character of white space ends it; a comment right behind the last number is one."""
    pixels = made(3, 255)
    (tmp_path / "a.ppm").write_bytes(head + pixels.astype(np.uint8).tobytes())
    assert np.array_equal(read_image(tmp_path / "a.ppm").pixels, pixels)


def test_numbers_and_comments_go_over_the_parts_that_are_read(tmp_path: Path) -> None:
    pixels = made(1, 65535).repeat(9, 0)
    text = " ".join(
        f"{value:05d}" + ("" if at % 7 else f"#{'c' * (at % 301)}\n") for at, value in enumerate(pixels.ravel())
    )
    (tmp_path / "a.pgm").write_bytes(f"P2 {WIDTH} {len(pixels)} 65535 {text}".encode())
    assert len(text) > 3 * 65536
    assert np.array_equal(read_image(tmp_path / "a.pgm").pixels, pixels)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"P3\n", "no width, height and largest value"),
        (b"P3 2 2", "no width, height and largest value"),
        (b"P6 2 2 0\n" + bytes(12), "largest value is 0"),
        (b"P6 2 2 65536\n" + bytes(24), "largest value is 65536"),
        (b"P5 0 2 255\n", "0x2 pixels"),
        (b"P3 2 2 255\n1 2 3", "shorter than 2x2 pixels"),
        (b"P3 40000 40000 255\n1 2 3", "shorter than 40000x40000 pixels"),
        (b"P1 9999999999 9999999999\n1 0", "shorter than"),
        (b"P4 9999999999 9999999999\n1 0", "shorter than"),
        (b"P6 " + b"9" * 5000 + b" 1 255\n", "no width, height and largest value"),
        (b"P2 2 2 255\n1 2 3     ", "ends early"),
        (b"P2 2 2 255\n1 2 3 256 ", "a value of 256; its largest is 255"),
        (b"P5 2 2 15\n\1\2\3\x10", "a value of 16; its largest is 15"),
        (b"P2 2 2 255\n1 -2 3 4 ", "b'-2 3 4 ' where a number should be"),
        (b"P2 2 2 255\n1 2.5 3 4 ", "where a number should be"),
        (b"P1 2 2\n0 1 2 1 ", "b'2 1 ' where a number should be"),
        (b"P2 2 2 255\n" + b"1" * 200_000, "a number of more than 18 digits"),
        (b"P2 2 2 255\n1 " + b"0" * 19 + b" 1 1 ", "a number of more than 18 digits"),
        (b"P2 2 2 255\n#" + b"1 " * 200_000, "ends early"),
    ],
)
def test_damaged_is_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.ppm: damaged PPM \(.*") as refusal:
        read_image(tmp_path / "a.ppm")
    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_long_file_takes_little_memory(tmp_path: Path) -> None:
    """A row of it at a time, however many there are."""
    (tmp_path / "a.pgm").write_bytes(b"P2 50 20000 255\n" + b"123 " * 10**6)
    bands = open_image(tmp_path / "a.pgm").rows(10)
    next(bands)
    tracemalloc.start()
    assert sum(len(rows) for rows in bands) == 19_990
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()


def test_too_many_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.pbm").write_bytes(b"P4 8000 8\n" + bytes(8000))
    with pytest.raises(ImageError, match=r"8000x8 pixels; at most 0\.01 megapixels"):
        open_image(tmp_path / "a.pbm", max_pixels=10_000)


def test_several_pictures_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(2 * binary(made(3, 255), 255))
    with pytest.raises(ImageError, match="holds several pictures"):
        open_image(tmp_path / "a.ppm")


def test_a_text_that_begins_with_p5_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5: a paragraph")
    with pytest.raises(ImageError, match="not a PNG"):
        open_image(tmp_path / "a.pgm")


def test_a_pbm_s_result_is_called_ppm(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.pbm", "b.pgm", "c.pnm"):
        (tmp_path / "in" / name).write_bytes(b"P1 1 1 0")
    work = find_work(Request(inputs=[tmp_path / "in"], output=tmp_path / "out"))
    assert sorted(job.target.name for job in work.jobs) == ["a.ppm", "b.pgm", "c.pnm"]
