"""What mkdocs does for this project beside its plugins; named in mkdocs.yml.

Two things. The Python API is read from the sources, which lie in folders that are no packages by their own names
(`train/` is `nafnet.train`): they are laid out as an installation has them, in a temporary folder. And a link that
leads out of `docs/`, to a file of the repository, stays a link: the file becomes a part of the site.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import tomllib
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
HOME = "repository"
"""The site's folder for files that lie outside of docs/."""
LINK = re.compile(r"(\]\(|src=\")(?![a-z]+:|#|/)([^)#\s\"]+)")
_temporary: list[tempfile.TemporaryDirectory[str]] = []


@event_priority(100)  # before mkdocstrings reads its settings
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Show mkdocstrings the packages as they are imported."""
    folder = tempfile.TemporaryDirectory(prefix="nafnet-docs-")
    _temporary.append(folder)
    mapping = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-dir"]
    for package, source in mapping.items():
        shutil.copytree(
            ROOT / source, Path(folder.name, *package.split(".")), ignore=_all_but_python, dirs_exist_ok=True
        )
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [folder.name]
    return config


def _all_but_python(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".py") and (name[0] in "._" or not Path(folder, name).is_dir())]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file of the repository that a page links to, and those that these link to."""
    docs = Path(config.docs_dir)
    waiting = [docs / file.src_uri for file in files.documentation_pages()]
    while waiting:
        page = waiting.pop()
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            path = Path(os.path.normpath(page.parent / target[1]))
            uri = _uri(path, docs)
            if not uri.startswith(f"{HOME}/") or not path.is_file() or files.get_file_from_path(uri):
                continue
            files.append(File.generated(config, uri, abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV))
            if path.suffix == ".md":
                waiting.append(path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links between docs/ and the rest of the repository to where the site has both."""
    docs = Path(config.docs_dir)
    home = Path(page.file.abs_src_path or "").parent
    here = PurePosixPath(page.file.src_uri).parent

    def led(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(home / match[2]))
        uri = _uri(path, docs)
        if files.get_file_from_path(uri) is None:
            return match[0]  # mkdocs itself says what is missing
        return match[1] + PurePosixPath(os.path.relpath(uri, here)).as_posix()

    return LINK.sub(led, markdown)


def _uri(path: Path, docs: Path) -> str:
    """A file's name in the site's sources: as it is in docs/, and below `HOME` elsewhere in the repository."""
    if path.is_relative_to(docs):
        return path.relative_to(docs).as_posix()
    return f"{HOME}/{path.relative_to(ROOT).as_posix()}" if path.is_relative_to(ROOT) else path.as_posix()


def on_shutdown() -> None:
    """Remove the temporary folders."""
    while _temporary:
        _temporary.pop().cleanup()
