"""What a run writes down: steps.csv, evaluations.csv, TensorBoard's events; what was written past the step to go on
from is dropped."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nafnet.errors import DataError
from nafnet.files import write_whole
from nafnet.train.run.evaluation import Scores

STEPS, EVALUATIONS = "steps.csv", "evaluations.csv"
STEP_COLUMNS = ("step", "loss", "learning_rate", "gradient_norm", "seconds")
EVALUATION_COLUMNS = ("step", "set", "loss", "psnr", "ssim", "seconds")


class Logbook:
    """The log of a run that goes on after `step` steps. A context manager.

    Args:
        folder: of the run.
        step: rows of later ones are dropped.
        due: whether that step is still to be evaluated, so that its evaluation's rows are dropped as well.
    """

    def __init__(self, folder: Path, step: int, *, due: bool = False) -> None:
        self._files = []
        for name, columns, last in (
            (STEPS, STEP_COLUMNS, step), (EVALUATIONS, EVALUATION_COLUMNS, step - due)
        ):  # fmt: skip
            rows = [row for row in read_rows(folder / name, columns) if int(row["step"]) <= last]
            text = io.StringIO()
            writer = csv.DictWriter(text, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            write_whole(folder / name, text.getvalue().encode())
            # By lines, so that a kill loses none of them.
            self._files.append((folder / name).open("a", 1, encoding="utf-8", newline=""))
        self._board = _tensorboard(folder / "tensorboard", step)

    def step(self, step: int, **values: float) -> None:
        """One step; `values` are the columns but the first."""
        self._write(0, (step, *(f"{values[name]:.8g}" for name in STEP_COLUMNS[1:])))
        for name, value in values.items():
            self._board.add_scalar(f"steps/{name}", value, step)

    def evaluation(self, step: int, scores: dict[str, Scores]) -> None:
        """One evaluation."""
        for name, score in scores.items():
            values = vars(score)
            self._write(1, (step, name, *(f"{values[key]:.6g}" for key in EVALUATION_COLUMNS[2:])))
            for key, value in values.items():
                self._board.add_scalar(f"{key}/{name}", value, step)

    def close(self) -> None:
        """Flush all of it."""
        for file in self._files:
            file.close()
        self._board.close()

    def __enter__(self) -> Logbook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, file: int, row: tuple[Any, ...]) -> None:
        csv.writer(self._files[file], lineterminator="\n").writerow(row)


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV, without one that a killed process left unfinished; none where there is no file.

    Raises:
        DataError: it has other columns, or what should be a number is none.
    """
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))
    for number, row in enumerate(rows, 2):
        if tuple(row) == tuple(columns[:-1]):  # as earlier versions wrote evaluations, without the seconds
            row[columns[-1]] = "nan"
        try:
            if tuple(row) != tuple(columns) or None in row.values():
                raise ValueError(f"expected {', '.join(columns)}")
            int(row["step"])
            for name in columns[1:]:
                if name != "set":
                    float(row[name])
        except ValueError as error:
            raise DataError(f"{path}, line {number}: damaged ({error}); mend or remove the file") from error
    return rows


class _NoBoard:
    """Stands in where tensorboard is not installed."""

    def add_scalar(self, name: str, value: float, step: int) -> None: ...

    def close(self) -> None: ...


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return _NoBoard()
    return SummaryWriter(str(folder), purge_step=step + 1)
