"""What the results are called: from photographs and an output folder to jobs."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from nafnet.errors import UsageError
from nafnet.images.formats import FORMATS, SUFFIXES, WRITTEN_SUFFIXES, Format
from nafnet.runtime.paths.discovery import Found, Photograph
from nafnet.runtime.paths.job import Job

NOT_WRITTEN = (
    *(suffix for suffix in SUFFIXES if suffix not in WRITTEN_SUFFIXES),
    *(".gif", ".jp2", ".psd", ".svg", ".pdf", ".exr", ".hdr", ".ico", ".tga"),
)
"""Endings that mean a picture, not a folder; of these nothing is written."""
_ENDINGS = ", ".join(WRITTEN_SUFFIXES)
_LONGEST_NAME = 255  # bytes, on nearly all file systems


def name_jobs(
    found: Found, output: Path, *, file_format: Format | None = None, compare: Path | None = None,
    strengths: Sequence[float] = (),
) -> list[Job]:  # fmt: skip
    """A job for each photograph, or for each of its strengths.

    `output` is a folder, but for one photograph it may name a file with an image's ending, which then says its format.

    Args:
        found: the photographs.
        output: where results go.
        file_format: of all results, whose names then end accordingly.
        compare: a folder for side-by-side pictures.
        strengths: where each photograph has a result for each.

    Raises:
        UsageError: there are no photographs, or `output` names a file where it cannot.
    """
    try:
        str(output).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{str(output)!a}: its name is not UTF-8; choose another output") from error
    if not found.photographs and not found.unreadable:
        raise UsageError(f"no images; expected files ending in {', '.join(SUFFIXES)}")
    if _is_file(found, output):
        if strengths:
            words = ",".join(map(strength_word, strengths))
            raise UsageError(f"--strength {words}: the output {output} is a file; expected a folder")
        named = SUFFIXES[output.suffix.lower()]
        if file_format and file_format != named:
            raise UsageError(f"--format {file_format}: the output {output} says {named}; leave one of them out")
        (photograph,) = found.photographs
        inside = Path(output.name)
        return [_job(photograph, output, named, _comparison(inside, compare))]
    jobs = []
    for photograph in found.photographs:
        inside = _renamed(photograph.inside, file_format)
        job = _job(photograph, output / inside, file_format, _comparison(inside, compare))
        jobs += _of_each_strength(job, inside, strengths, compare) if strengths else [job]
    return jobs


def _of_each_strength(job: Job, inside: Path, strengths: Sequence[float], compare: Path | None) -> list[Job]:
    """The job for each strength: `a-strength-0.5.jpg`, and for the first `a-strengths.jpg`.

    The picture of all is a JPEG; the ending of another stands in its name, so that no two are the same.
    """
    folder = job.target.parent
    jobs = []
    for strength in strengths:
        name = _named(inside.stem, f"-strength-{strength_word(strength)}{inside.suffix}")
        compared = _comparison(inside.with_name(name), compare)
        jobs.append(
            dataclasses.replace(job, target=folder / name, plain=job.target, strength=strength, compare=compared)
        )
    kind = "" if inside.suffix == ".jpg" else f"-{inside.suffix.removeprefix('.')}"
    jobs[0] = dataclasses.replace(jobs[0], sheet=folder / _named(inside.stem, f"{kind}-strengths.jpg"))
    return jobs


def strength_word(strength: float) -> str:
    """As it stands in names: 0, 0.5, 1."""
    return str(int(strength)) if strength == int(strength) else repr(strength)


def _job(photograph: Photograph, target: Path, file_format: Format | None, compare: Path | None) -> Job:
    return Job(source=photograph.path, target=target, format=file_format, compare=compare, real=photograph.real)


def _is_file(found: Found, output: Path) -> bool:
    """Whether `output` names a file, not a folder.

    Raises:
        UsageError: it names a picture of a kind that is not written, or one picture for several.
    """
    ending = output.suffix.lower()
    if output.is_dir() or ending not in (*SUFFIXES, *NOT_WRITTEN):
        return False
    if found.folders or len(found.photographs) != 1:
        raise UsageError(
            f"{output}: OUTPUT ends as a picture does, and there is more than one INPUT; expected a folder: name it "
            "last, or make a folder of this name first"
        )
    if ending in NOT_WRITTEN:
        raise UsageError(f"{output}: {ending} is not written; expected a folder, or a file ending in {_ENDINGS}")
    return True


def _renamed(path: Path, file_format: Format | None) -> Path:
    """With the ending of the format that is written; a name that has one of its endings keeps it."""
    named = SUFFIXES.get(path.suffix.lower())
    if named and not file_format:
        is_read_alone = path.suffix.lower() in FORMATS[named].read_suffixes
        file_format = FORMATS[named].written_as or (named if is_read_alone else None)
    if file_format is None or path.suffix.lower() in FORMATS[file_format].suffixes:
        return path
    return path.with_suffix(FORMATS[file_format].suffixes[0])


def _comparison(inside: Path, folder: Path | None) -> Path | None:
    """The comparison's name: that of the result, its ending included, so that no two are the same."""
    if folder is None:
        return None
    return folder / inside.with_name(_named(inside.stem, f"-{inside.suffix.removeprefix('.')}-compared.jpg"))


def _named(stem: str, end: str) -> str:
    """A name of both; of a stem that is too long the start, and of which it was."""
    if len((stem + end).encode(errors="surrogateescape")) > _LONGEST_NAME:
        end = f"-{hashlib.sha256(stem.encode(errors='surrogateescape')).hexdigest()[:8]}{end}"
        stem = stem.encode(errors="ignore")[: _LONGEST_NAME - len(end)].decode(errors="ignore")
    return stem + end
