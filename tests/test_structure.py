"""The house itself: what the wheel holds, and which way imports go."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = {"nafnet": "nafnet", "train": "nafnet.train", "export": "nafnet.export"}
FOLDERS |= {"runtime": "nafnet.runtime", "benchmarks": "nafnet.benchmarks"}
COMMANDS = ("nafnet-train", "nafnet-export", "nafnet-run", "nafnet-bench")


def modules() -> list[str]:
    """Every module of the project by its import name."""
    found = []
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found.append(".".join((package, *parts)).removesuffix(".__init__"))
    return found


def test_every_package_is_declared() -> None:
    """An undeclared package works from the checkout and is missing from the wheel."""
    packages = set()
    for folder, package in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            packages.add(".".join((package, *init.parent.relative_to(ROOT / folder).parts)))
    assert packages == set(PYPROJECT["tool"]["setuptools"]["packages"])


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
    rooms = sorted(set(FOLDERS.values()) - {"nafnet"})
    own = [
        name
        for name in modules()
        if (name + ".").startswith(package + ".")
        and (package != "nafnet" or not name.startswith(tuple(rooms)))
        and name not in ("nafnet.runtime.backends.torch_eager", "nafnet.runtime.backends.torch_cuda")
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
