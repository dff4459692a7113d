"""Whether the documents tell the truth: links, options, recipes and messages exist, examples run, the site builds."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from nafnet.architecture import NAFNet
from nafnet.checkpoint import save_checkpoint
from nafnet.images.metadata.metadata import KEPT, WORDS
from nafnet.spec import Architecture, ModelSpec

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / name for name in ("nafnet/pretrained/MODEL_CARD.md", "benchmarks/results/README.md")),
    *sorted(DOCS.rglob("*.md")),
]
COMMANDS = {
    "nafnet-run": "nafnet.runtime.cli",
    "nafnet-export": "nafnet.export.cli",
    "nafnet-train": "nafnet.train.cli",
    "nafnet-bench": "nafnet.benchmarks.cli",
}
FENCE = re.compile(r"(?:<!-- (?P<mark>[^>]*?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)
README_LINES = 130

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path, kind: str) -> Iterator[tuple[str | None, str]]:
    """The mark before each fenced block of a kind, and its text."""
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        if match["kind"] == kind:
            yield match["mark"], match["text"]


def marked(kind: str) -> list[Path]:
    """The pages that have a block of a kind that is to be run."""
    return [page for page in PAGES if any((mark or "").startswith("runs") for mark, _ in blocks(page, kind))]


def command_lines(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every line of a fenced block, whatever its kind, that starts one of our commands: its name and its words."""
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        for line in match["text"].replace("\\\n", " ").splitlines():
            for part in line.removeprefix("$ ").partition(" #")[0].split("|"):
                words = part.split()
                found = next((index for index, word in enumerate(words) if word in COMMANDS), None)
                if found is not None and (found == 0 or words[0] in ("torchrun", "find")):
                    yield words[found], words[found + 1 :]


def options_of(command: click.Command) -> set[str]:
    """Every spelling of every option, those of a group's commands included."""
    spellings = (name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts))
    own = {name for name in spellings if name.startswith("-")}  # an argument has a name alone
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union({"-h", "--help"}, *(options_of(each) for each in inner))


def meant(name: str, words: list[str]) -> click.Command:
    """The command that a line starts: of nafnet-train, which has several, the one it names, or else its `run`."""
    program: click.Command = import_module(COMMANDS[name]).main
    if isinstance(program, click.Group):
        return program.commands.get(words[0] if words else "run", program.commands["run"])
    return program


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#?([^)]*)\)", text):
        path = page.parent / target if target else page
        assert path.exists(), target
        if (
            anchor and page.name != "options.md" and path.name != "options.md"
        ):  # whose headings are made of the commands
            assert anchor in anchors(path), f"{target}#{anchor}"


@each_page
def test_commands_have_the_options_they_are_shown_with(page: Path) -> None:
    for name, words in command_lines(page):
        known = options_of(meant(name, words))
        for word in words:
            if re.fullmatch(r"--?[a-z].*", word):
                assert word in known, f"{name} {word}"


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_options_named_in_sentences_exist(page: Path) -> None:
    known = set().union(*(options_of(import_module(module).main) for module in COMMANDS.values()))
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    others = {"--model-repository=models", "--logdir"}  # of Triton, of TensorBoard
    others |= options_of(import_module("nafnet.benchmarks.gpu_day.__main__").main)
    for option in re.findall(r"`(--[a-z][^\s`]*)", text):
        assert option in known | others, option


@each_page
def test_recipes_exist(page: Path) -> None:
    from nafnet.train.recipes.recipe_files import bundled_recipes

    for name, words in command_lines(page):
        program = import_module(COMMANDS["nafnet-train"]).main
        if name == "nafnet-train" and words and words[0] not in program.commands and not words[0].endswith(".toml"):
            assert words[0] in bundled_recipes()


def test_recipe_files_load(tmp_path: Path) -> None:
    from nafnet.train.recipes.recipe_files import load_recipe

    found = [text for page in PAGES for mark, text in blocks(page, "toml") if mark == "recipe"]
    assert found
    for text in found:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        load_recipe(str(path))


@each_page
def test_programs_that_are_named_exist(page: Path) -> None:
    """`python -m nafnet...` in a block or a sentence."""
    for name in re.findall(r"python -m (nafnet[\w.]*\w)", page.read_text(encoding="utf-8")):
        assert importlib.util.find_spec(name), name


def test_contributing_names_files_and_what_is_in_them() -> None:
    """Every path in backticks, but for the old names; and in a cell of its table each name beside a path."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## What moved")
    now = re.findall(r"^\| `[^`]+` \| `([^`]+)` \|$", text[2], re.MULTILINE)
    paths = re.findall(r"`([\w.-]+/[\w./-]*)`", text[0])
    assert len(paths) > 30
    assert len(now) > 50
    for path in (*paths, *now):
        assert (ROOT / path).exists() or path in ("site/", ".venv/beside"), path
    cells = [cell for line in text[0].splitlines() if line.startswith("|") for cell in line.split("|")]
    for path, names in re.findall(r"`([\w/]+\.py)`: (.*)", "\n".join(cells)):
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", (ROOT / path).read_text(encoding="utf-8")), f"{path}: {name}"


def literals() -> str:
    """Every string of the sources, one to a line; of an f-string, the parts between its values."""
    found: list[str] = []
    for folder in ("nafnet", "train", "export", "runtime", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [
                each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
    return "\n".join(found)


def test_messages_in_trouble_are_messages_of_ours() -> None:
    """The first column of its tables, but for exit codes; `…` stands for what differs."""
    known, others = literals(), ("No such option",)  # click's
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("trouble.md", "tensorrt.md", "gpu.md"))
    cells = [
        cell for cell in re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE) if not cell.startswith(("`--", "`tens"))
    ]
    assert len(cells) > 80
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell) if message not in others]
    assert not [message for message in messages if any(part.strip(" :,;") not in known for part in message.split("…"))]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the examples take for granted, and where they run."""
    coffee, cat = (
        np.ascontiguousarray(make()[100:180, 100:220]) for make in (skimage.data.coffee, skimage.data.chelsea)
    )
    for folder in ("photos", "photos/trip", "demo/noisy", "damaged"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("photo.jpg", "photos/coffee.jpg", "demo/noisy/coffee.png"):
        Image.fromarray(coffee).save(tmp_path / name)
    for name in ("photos/trip/cat.png", "demo/noisy/cat.png"):
        Image.fromarray(cat).save(tmp_path / name)
    whole = (tmp_path / "photo.jpg").read_bytes()
    (tmp_path / "damaged" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "damaged" / "empty.tif").touch()
    (tmp_path / "damaged" / "notes.png").write_text("a note")
    small = Architecture(width=4, encoder_blocks=(1, 1), middle_blocks=1, decoder_blocks=(1, 1))
    torch.manual_seed(0)
    save_checkpoint(
        tmp_path / "mine.safetensors", NAFNet(small).state_dict(), ModelSpec(architecture=small, multiple=4)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    return tmp_path


@pytest.mark.parametrize("page", marked("python"), ids=lambda page: page.name)
@pytest.mark.usefixtures("place")
def test_python_examples_run(page: Path) -> None:
    for mark, text in blocks(page, "python"):
        if mark == "runs":
            exec(compile(text, str(page), "exec"), {"__name__": "example"})


def without_figures(line: str) -> str:
    """Of a line that a command prints, what does not differ between two runs and two machines."""
    return re.sub(r"\d[\d.,]*", "0", re.sub(r" on .*, tiles of", " on a backend, tiles of", " ".join(line.split())))


@pytest.mark.parametrize("page", marked("console"), ids=lambda page: page.name)
@pytest.mark.usefixtures("place")
def test_shell_examples_run(page: Path) -> None:
    """Each `$` line ends with the exit code of its mark, and prints the lines below it, in order, figures aside."""
    for mark, text in blocks(page, "console"):
        if not (mark or "").startswith("runs"):
            continue
        assert mark is not None
        expected_code = int(mark.partition(":")[2] or 0)
        for example in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, *shown = example.splitlines()
            done = subprocess.run(command, shell=True, capture_output=True, check=False)
            printed = (done.stdout + done.stderr).decode(errors="replace")
            assert done.returncode == expected_code, f"$ {command}\n{printed}"
            rest = iter([without_figures(line) for line in printed.splitlines()])
            for line in shown:
                assert without_figures(line) in rest, f"$ {command}\nshows {line!r}, and prints\n{printed}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents as a site, built strictly: a link or a name that leads nowhere is an error."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_site_documents_commands_and_api(site: Path) -> None:
    options, api = ((site / page / "index.html").read_text(encoding="utf-8") for page in ("options", "api"))
    for name, module in COMMANDS.items():
        assert f'id="{name}"' in options
        for option in options_of(import_module(module).main) - {"-h"}:
            assert option in options, f"{name} {option}"
    for name in ("nafnet.runtime.Restorer.restore", "nafnet.checkpoint.load_checkpoint", "nafnet.tiling.plan_tiles"):
        assert f'id="{name}"' in api


def test_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loads = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//", text)
        assert not loads, page
    assert list(site.rglob("*.html"))


def test_every_figure_has_its_script() -> None:
    figures = [path for path in (DOCS / "figures").iterdir() if path.suffix in (".png", ".jpg", ".svg")]
    assert figures
    for path in figures:
        assert path.with_suffix(".py").is_file()
        assert any(path.name in page.read_text(encoding="utf-8") for page in PAGES), path.name


def test_what_each_format_keeps_is_what_the_table_says() -> None:
    text = (ROOT / "docs" / "restoring.md").read_text(encoding="utf-8")
    lines = text.split("## What is kept beside the pixels")[1].split("\n## ")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert {row[0].split(" (")[0] for row in rows} == set(WORDS.values())
    for words, *cells in rows:
        (name,) = [name for name, called in WORDS.items() if called == words.split(" (")[0]]
        for formats, cell in zip(head[1:], cells, strict=True):
            for file_format in formats.lower().split(", "):
                assert cell.startswith("yes") == (name in KEPT[file_format]), (file_format, words)  # type: ignore[index]
