"""The house itself: what the wheel holds, and which way imports go."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import platformdirs
import pytest

from nafnet.files import cache_folder

from . import import_graph
from .import_graph import ROOT, STAGES

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS = ("nafnet-train", "nafnet-export", "nafnet-run", "nafnet-bench")


GRAPH = import_graph.import_graph()
ENVIRONMENT = dict(os.environ)
"""As modules of tests have it when they are imported, and hand it to processes that they start."""


def test_no_test_fills_the_users_cache() -> None:
    folder = cache_folder("looked at").parent
    assert folder == Path(ENVIRONMENT["NAFNET_CACHE"])
    assert not folder.is_relative_to(platformdirs.user_cache_path("nafnet-toolchain", appauthor=False))


def test_no_modules_go_round_in_a_circle() -> None:
    assert import_graph.circle(GRAPH) == []


def test_mypy_is_shown_every_stage() -> None:
    (line,) = (line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "STAGES :=" in line)
    folders = PYPROJECT["tool"]["setuptools"]["package-dir"].values()
    assert {"nafnet", *line.split()[2:]} == set(folders)


def test_arrows_between_wings_point_down() -> None:
    """But for the exceptions, each of which is still needed."""
    assert set(import_graph.wrong_arrows(GRAPH)) == set(import_graph.EXCEPTIONS)


def test_every_wing_has_a_floor() -> None:
    assert import_graph.undeclared(GRAPH) == set()


def test_the_engine_knows_no_files() -> None:
    """Of images it knows pixels and what they stand for."""
    engine = [name for name in GRAPH if name.startswith("nafnet.runtime.engine.")]
    images = {target for name in engine for target in GRAPH[name] if target.startswith("nafnet.images")}
    assert images == {"nafnet.images.pixels", "nafnet.images.colour.space"}


def test_one_room_alone_knows_which_system_it_is_on() -> None:
    """The rest of the project asks `nafnet.system.SYSTEM`."""
    found = {
        f"{path.relative_to(ROOT)}: {what}"
        for name, path in import_graph.modules().items()
        if not name.startswith("nafnet.system")
        for what in import_graph.of_one_system(path)
    }
    assert found == set()


def test_what_belongs_to_one_system_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import os, sys, platform\nimport resource as r\nfrom fcntl import flock\nif sys.platform == 'win32':\n"
        "    os.getppid()\nread = open('/proc/self/status')\ndef f():\n    import msvcrt\nos.path.join('a')\n"
    )
    assert import_graph.of_one_system(file) == {
        "platform", "resource", "fcntl", "sys.platform", "os.getppid", "/proc/self/status", "msvcrt"
    }  # fmt: skip


def test_the_graph_sees_hidden_imports(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nafnet.spec import ModelSpec\n"
        "def f():\n    import nafnet.tiling\n    from nafnet import wire\nREGISTRY = {'a': 'nafnet.metrics'}\n"
    )
    named = import_graph.named_in(file, import_graph.modules())
    assert named >= {"nafnet.spec", "nafnet.tiling", "nafnet.wire", "nafnet.metrics"}


def test_the_graph_finds_circles_and_arrows_that_point_up() -> None:
    assert set(import_graph.circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    up = ("nafnet.runtime.engine.batches", "nafnet.runtime.folder.item")
    across = ("nafnet.train.synthetic.noise", "nafnet.train.processes.signals")
    forbidden = ("nafnet.export.exporter", "nafnet.runtime.command")
    down = ("nafnet.runtime.folder.item", "nafnet.runtime.engine.batches")
    arrows = (up, across, forbidden, down)
    graph = {name: {target for start, target in arrows if start == name} for arrow in arrows for name in arrow}
    assert set(import_graph.wrong_arrows(graph)) == {up, across, forbidden}
    assert import_graph.undeclared({"nafnet.train.attic.box": set()}) == {("nafnet.train", "attic")}


def test_every_package_is_declared() -> None:
    """An undeclared package works from the checkout and is missing from the wheel."""
    packages = set()
    for folder, package in STAGES.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            packages.add(".".join((package, *init.parent.relative_to(ROOT / folder).parts)))
    assert packages == set(PYPROJECT["tool"]["setuptools"]["packages"])


def test_no_extra_but_those_that_choose_a_build_brings_onnxruntime() -> None:
    """Its builds are distributions that own one folder: with two of them pip leaves a mixture."""
    extras = PYPROJECT["project"]["optional-dependencies"]
    builds = {
        extra: {name for name in (re.split(r"[\[>=; ]", each)[0] for each in wanted) if name.startswith("onnxruntime")}
        for extra, wanted in extras.items()
    }
    assert {extra: names for extra, names in builds.items() if names} == {
        "cpu": {"onnxruntime"}, "gpu": {"onnxruntime-gpu"},
        "directml": {"onnxruntime-directml"}, "migraphx": {"onnxruntime-migraphx"},
        "webgpu": {"onnxruntime", "onnxruntime-ep-webgpu"},  # plugins beside the build of `cpu`
        "onnx-tensorrt-rtx": {"onnxruntime", "onnxruntime-ep-nv-tensorrt-rtx"},
    }  # fmt: skip
    joined = {
        extra
        for extra, wanted in extras.items()
        if any(re.search(r"\[.*\b(gpu|directml|migraphx)\b", each) for each in wanted)
    }
    assert not joined, "tests and developers have the build for CPUs"


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("nafnet", ("nafnet.train", "nafnet.export", "nafnet.runtime", "nafnet.benchmarks")),
        ("nafnet.train", ("nafnet.export", "nafnet.runtime", "nafnet.benchmarks")),
        ("nafnet.export", ("nafnet.train", "nafnet.runtime", "nafnet.benchmarks")),
        ("nafnet.runtime", ("nafnet.train", "nafnet.export", "nafnet.benchmarks", "torch", "safetensors", "PIL")),
    ],
)
def test_arrows_point_one_way(package: str, forbidden: tuple[str, ...]) -> None:
    """Importing all of a package, in a process of its own, brings in none of what it may not know."""
    rooms = sorted(set(STAGES.values()) - {"nafnet"})
    own = [
        name
        for name in GRAPH
        if (name + ".").startswith(package + ".")
        and (package != "nafnet" or not name.startswith(tuple(rooms)))
        and name not in ("nafnet.runtime.backends.torch_cpu", "nafnet.runtime.backends.torch_cuda")
        and name not in import_graph.OF_ONE_SYSTEM
    ]
    assert own
    script = "import sys, importlib\nfor name in sys.argv[1].split(','): importlib.import_module(name)\n"
    script += "print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script, ",".join(own)], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    for name in forbidden:
        assert not [module for module in loaded if (module + ".").startswith(name + ".")], name


@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_no_heavy_library(command: str) -> None:
    module = PYPROJECT["project"]["scripts"][command].partition(":")[0]
    script = f"import sys\nfrom {module} import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    script += "print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert not loaded & {"torch", "numpy", "pyvips", "onnx", "onnxruntime", "openvino", "rich"}
    assert "Usage" in done.stdout


def test_wheel_restores_a_folder_from_elsewhere(tmp_path: Path) -> None:
    """The built wheel, installed into a folder of its own and run from another, restores with the bundled model."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path / "wheel"), str(source)]
    subprocess.run(wheel, check=True)
    (built,) = (tmp_path / "wheel").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(built)], check=True)

    from PIL import Image

    (tmp_path / "photos" / "trip").mkdir(parents=True)
    Image.effect_noise((70, 50), 40).convert("RGB").save(tmp_path / "photos" / "trip" / "noise.png")
    script = "import nafnet, sys; from nafnet.runtime.cli import main\nprint(nafnet.__file__, file=sys.stderr)\nmain()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "photos", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site") in done.stderr, "the wheel was run, not the checkout"
    with Image.open(tmp_path / "out" / "trip" / "noise.png") as restored:
        assert restored.size == (70, 50)
