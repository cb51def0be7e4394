"""What the built wheel holds: every module and data file of the package, and nothing else of the repository."""

import zipfile
from pathlib import Path

FOLDERS = ("runtime", "devices", "export", "pipeline", "benchmarks", "cli", "models")
DATA = (".html", ".txt", ".css", ".js", ".toml", ".c", ".h", ".json", ".onnx", ".safetensors", ".md")


def test_every_module_and_data_file_is_in_the_wheel(wheel_file: Path, tracked_files: list[str]) -> None:
    wheel = {name for name in zipfile.ZipFile(wheel_file).namelist() if ".dist-info/" not in name}
    expected = {
        f"pocketrank/{name}"
        for name in tracked_files
        if name.split("/")[0] in FOLDERS
        and (name.endswith((".py", "/Makefile", *DATA)) or Path(name).suffix == ".lock")
    }
    assert wheel == expected | {"pocketrank/__main__.py"}
