"""What comes ready-made with the package: the folder `models/`, by name."""

from pathlib import Path

from .errors import UnavailableError

GENERAL = "general-english"
MODELS = Path(__file__).resolve().parent.parent / "models"


def packaged_folder(name: str, otherwise: str = "name a folder of your own") -> Path:
    """Return `models/<name>`; raise `UnavailableError`, which says what to do `otherwise`, when it is not there."""
    folder = MODELS / name
    if not folder.is_dir():
        raise UnavailableError(
            f"this installation has no {name} ({folder} does not exist); install a release of pocketrank that has it, "
            f"or {otherwise}"
        )
    return folder


def bundle_path(word: str) -> Path:
    """Return the folder that a command's BUNDLE means: `general-english` is the one that comes with the package.

    An existing path of that name wins. Raises `UnavailableError` when the package was built without it.
    """
    path = Path(word)
    return path if word != GENERAL or path.exists() else packaged_folder(GENERAL) / "bundle"


def is_packaged(path: Path) -> bool:
    """Tell whether a path lies in what comes with the package, where nothing is to be written."""
    return path.resolve().is_relative_to(MODELS)
