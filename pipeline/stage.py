"""What a stage sees of the world."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from ..runtime.progress import Progress
from .settings import Recipe


@dataclass(frozen=True)
class StageContext:
    """The inputs and outputs of one run of one stage.

    A stage reads its recipe section(s) and the finished folders of its input stages, and writes to `output`, which
    becomes visible under its final name only when the stage returns. `scratch` survives an interruption: what a stage
    keeps there (shards, checkpoints) lets the next run go on from it. It is removed when the stage is done, and when
    the stage's key changes.
    """

    recipe: Recipe  # every default filled in, relative paths already resolved against the recipe's folder
    resolved_toml: Mapping[str, Any]  # the same recipe with the paths as written: what travels into the bundle
    inputs: Mapping[str, Path]  # stage name -> its finished output folder
    output: Path
    scratch: Path
    progress: Progress
    on: str = "local"  # where shards are computed: `teacher/vectors/cluster.py`


class OutputPath:
    """Names a file or folder in a stage's output; the attribute of an output is its path."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, output: "StageOutput", owner: type) -> Path:
        """Return the path."""
        return output.folder / self._name


@dataclass(frozen=True)
class StageOutput:
    """The folder that a stage leaves; a subclass in its wing names the files and reads them, for both ends alike."""

    folder: Path
    stage: ClassVar[str]

    @classmethod
    def of(cls, context: StageContext) -> Self:
        """Return the finished output of this class's stage, which is an input of the stage that runs."""
        return cls(context.inputs[cls.stage])
