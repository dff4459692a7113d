"""The help of nafnet-train: whole lines, sentences, and options below their headings."""

from __future__ import annotations

import click
import pytest

from nafnet.train.cli import HEADINGS, main

from .conftest import Command

OPTIONS = [
    (name, option)
    for name, command in main.commands.items()
    for option in command.params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_no_line_is_cut_short(columns: str, nafnet_train: Command) -> None:
    listed = nafnet_train("--help", COLUMNS=columns).stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed if not line.startswith("   ")] == list(main.commands)
    assert not [line for line in listed if line.endswith("...")]


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=[f"{name} {option.name}" for name, option in OPTIONS])
def test_what_an_option_does_is_a_sentence_with_a_noun(command: str, option: click.Option) -> None:
    del command
    said = (option.help or "").partition("  [")[0]
    assert said.endswith(".")
    assert said.split()[0] not in ("Of", "For", "That", "Instead:", "With")


def test_options_stand_below_their_headings(nafnet_train: Command) -> None:
    assert set(HEADINGS) <= {parameter.name for parameter in main.commands["run"].params}
    text = nafnet_train("run", "--help").stdout
    expected = ("Training images:", "--input", "Recipe:", "--set", "Machine:", "--device")
    places = [text.index(words) for words in expected]
    assert places == sorted(places)
    assert "Options:" not in text
