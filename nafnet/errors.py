"""Every exception a user can meet.

A `NafnetError` carries one line: what came, what was expected, what to do. Commands print that line, below it what
there is to choose from, and exit with the error's `exit_code`; a traceback means a bug of ours.
"""

from __future__ import annotations

from collections.abc import Sequence


def one_line(text: str) -> str:
    """Lines of a text as one: a library that is quoted may say several. Blanks within a line stay, as in a path."""
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line for line in lines if line)


class NafnetError(Exception):
    """Base of all errors whose message is meant for the user.

    Args:
        message: the line; several become one.
        choices: lines to show below it, where there is more to choose from than fits.
    """

    exit_code = 2

    def __init__(self, message: str = "", choices: Sequence[str] = ()) -> None:
        super().__init__(one_line(str(message)))
        self.choices = tuple(choices)


# What the libraries say; none has an error class for it that all its versions raise, but PyTorch.
_MEMORY_WORDS = (
    "out of memory", "outofmemory", "failed to allocate memory", "could not be allocated", "bad_alloc", "alloc_failed",
    "can't allocate memory", "cannot allocate memory", "not enough memory",
)  # fmt: skip


def speaks_of_memory(text: str) -> bool:
    """Whether a library's words say that memory, the device's or the host's, did not suffice."""
    return any(phrase in text.lower() for phrase in _MEMORY_WORDS)


class UsageError(NafnetError):
    """Options that contradict each other, or inputs and outputs that cannot be used as asked."""


class MissingExtraError(NafnetError):
    """A library is not installed; the message names the extra that brings it, or several, each of which would."""

    def __init__(self, what: str, extra: str, *others: str) -> None:
        or_else = "".join(f", or 'nafnet-toolchain[{other}]'" for other in others)
        super().__init__(f"{what} is not installed: pip install 'nafnet-toolchain[{extra}]'{or_else}")

    @classmethod
    def of(cls, error: ImportError, extra: str, before: str = "", after: str = "") -> MissingExtraError:
        """For a module that `extra` brings and that could not be imported; `before` and `after` stand around its name.

        ONNX Runtime is in none of the extras that need it, since its builds for CPUs and for CUDA exclude each other.
        """
        name = str(error.name).partition(".")[0]
        extras = [f"{extra},cpu", f"{extra},gpu"] if name == "onnxruntime" else [extra]
        return cls(f"{before}{name}{after}", *extras)


class SpecError(NafnetError):
    """A model's description of itself is missing, malformed or of another version."""


class CheckpointError(NafnetError):
    """A checkpoint is unreadable, unsafe to read, or not a NAFNet."""


class ModelError(NafnetError):
    """An ONNX model is unreadable, unsafe or not an image-to-image model."""


class BackendError(NafnetError):
    """A backend is unknown, absent, or failed to run the model."""


class DeviceMemoryError(BackendError):
    """A batch does not fit the device's memory."""


class HostMemoryError(DeviceMemoryError):
    """The memory that does not suffice is the machine's own, not a device's."""

    @classmethod
    def of(cls, error: MemoryError, doing: str = "restoring") -> HostMemoryError:
        """For what Python or NumPy raised; `doing` is what failed."""
        said = str(error) or type(error).__name__
        return cls(f"{doing} failed (out of the machine's memory: {said}); a smaller --tile or --batch takes less")


class EngineError(NafnetError):
    """TensorRT cannot parse a graph or build an engine of it."""


class DataError(NafnetError):
    """A data set is not where it was said to be, or its pairs are not pairs."""


class RecipeError(NafnetError):
    """A training recipe is missing or malformed."""


class TrainingError(NafnetError):
    """Training cannot go on: a loss or a gradient is not finite."""


class ImageError(NafnetError):
    """One image cannot be read or written. Other images go on."""

    exit_code = 1


class DecodingError(NafnetError):
    """The process that decodes files cannot start. The run ends: it is not a fault of the files."""


class OutputError(NafnetError):
    """The output folder takes no more: the disk is full, or the folder is gone. The run ends; it can go on later."""


class ParityError(NafnetError):
    """An exported model does not match PyTorch closely enough."""

    exit_code = 3
