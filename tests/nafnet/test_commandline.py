"""What the four commands share: counts and times in words, and the name that was meant where one is misspelt."""

from __future__ import annotations

import io
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from rich.table import Table

from nafnet.progress import PlainConsole
from nafnet.words import counted, lasting, nearest, printable
from tests.processes import in_this_process


def test_counts_agree_with_their_nouns() -> None:
    assert [counted(count, "pair") for count in (0, 1, 2, 12_000)] == ["0 pairs", "1 pair", "2 pairs", "12,000 pairs"]
    assert [counted(count, "copy", "copies") for count in (1, 2)] == ["1 copy", "2 copies"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.02, "1 s"), (8.4, "8 s"), (119, "119 s"), (120, "2 min"), (3600, "60 min"), (9000, "2.5 h"),
        (86_400, "24 h"), (260_000, "3 days"),
    ],
)  # fmt: skip
def test_times_are_said_in_round_figures(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


OPTIONS = ("--model", "--tile", "--whole", "--threads", "--output", "--help")
RECIPES = ("denoise", "pairs", "study/v1", "study/v2", "upstream/sidd-width32", "upstream/sidd-width64")


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("--modle", OPTIONS, ["--model"]),
        ("--thread", OPTIONS, ["--threads"]),
        ("--out", OPTIONS, ["--output"]),
        ("--strength", OPTIONS, []),
        ("denoies", RECIPES, ["denoise"]),
        ("v1", RECIPES, ["study/v1"]),
        ("sidd-width32", RECIPES, ["upstream/sidd-width32"]),
        ("sidd", RECIPES, ["upstream/sidd-width32", "upstream/sidd-width64"]),
        ("portrait", RECIPES, []),
        ("x", (), []),
    ],
)
def test_one_or_two_names_are_suggested_or_none(word: str, known: tuple[str, ...], meant: list[str]) -> None:
    assert nearest(word, known) == meant


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["nafnet-run", "--modle", "mine.onnx", "photos", "out"], "No such option --modle. Did you mean --model?"),
        (["nafnet-export", "--fp61"], "No such option --fp61. Did you mean --fp16?"),
        (["nafnet-bench", "--baselin", "x.json"], "No such option --baselin. Did you mean --baseline?"),
        (["nafnet-train", "pairs", "--imput", "a"], "No such option --imput. Did you mean --input?"),
        (["nafnet-train", "data", "--targte", "a"], "No such option --targte. Did you mean --target?"),
        (["nafnet-train", "pairs", "--zzz"], "No such option --zzz."),
        (["nafnet-train", "comapre", "runs/a"], "No such command or recipe: comapre. Did you mean compare?"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_nearest_alone(words: list[str], hint: str) -> None:
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"Error: {hint}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2J\x1b]0;title\x07.png", r"a\x1b[2J\x1b]0;title\x07.png"),
        ("a\x9b31m\x7f\r\n\tb", r"a\x9b31m\x7f\r\n\tb"),
        ("a\u202egpj.exe\u2066\u2028", r"a\u202egpj.exe\u2066\u2028"),
        ("caf\udce9.png", r"caf\udce9.png"),
        *((name, name) for name in (
            "Été à Zürich.jpg", "写真\u3000一.png", "صورة\u200f.png", "नमस्\u200dते.png", "👩\u200d👧🏽.png",
            "Screenshot 3.42\u202fPM.png", "🏴\U000e0067\U000e0062\U000e007f.png", "e\u0301.png", "[/x] :smile: \\.png",
        )),
    ],
)  # fmt: skip
def test_names_cannot_command_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_consoles_show_text_and_nothing_else() -> None:
    """Neither commands to the terminal, nor rich's own markup, which of a name would be a style or an error."""
    name, stream = "[/red]\x1b[2J:smile:\u202e", io.StringIO()
    console = PlainConsole(file=stream, force_terminal=True, width=100)
    table = Table(name, title=name)
    table.add_row(name)
    console.print(table)
    console.print(f"wrong: {name}\nand more")
    assert stream.getvalue().count(r"[/red]\x1b[2J:sm") == 4
    assert "\x1b[2J" not in stream.getvalue()
    assert "\nand more\n" in stream.getvalue()


@pytest.mark.parametrize(
    "words",
    [
        ["nafnet-run", "no\x1b[2J.png", "out"], ["nafnet-run", "--tile", "\x1b[2J", "a", "b"],
        ["nafnet-run", "--html", ".\x1b[2J/none/x.html", "a.png", "b"], ["nafnet-export", "no\x1b[2J.pth"],
        ["nafnet-bench", "--tile", "\x1b[2J"], ["nafnet-train", "data", "no\x1b[2J"],
        ["nafnet-train", "compare", "\x1b[2J"], ["nafnet-export", "--\x1b[2J"],
    ],
    ids=lambda words: " ".join(words).replace("\x1b", "ESC"),
)  # fmt: skip
def test_what_a_command_refuses_it_names_plainly(words: list[str], tmp_path: Path) -> None:
    if words[0] in ("nafnet-export", "nafnet-train"):
        pytest.importorskip("torch")
    (command,) = entry_points(group="console_scripts", name=words[0])
    done = in_this_process(command.load(), *words, cwd=tmp_path)
    assert done.returncode
    assert "\x1b" not in done.stdout + done.stderr
    assert r"\x1b[2J" in done.stdout + done.stderr
