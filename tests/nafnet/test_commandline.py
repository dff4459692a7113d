"""What the four commands share: counts and times in words, and the name that was meant where one is misspelt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nafnet.words import counted, lasting, nearest


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
