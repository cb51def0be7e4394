"""What an ONNX folder says of itself: its graph, pooling, modules and length."""

from pathlib import Path
from typing import Any

from ....runtime.errors import InputError
from ....runtime.files import read_json
from ..model_folder.unreadable import configuration

POOLINGS = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "lasttoken": "pooling_mode_lasttoken",
    "weightedmean": "pooling_mode_weightedmean_tokens",
}
_GRAPHS = ("model.onnx", "onnx/model.onnx", "model_optimized.onnx")  # of several, the first is read
_NOT_WEIGHTS = (".onnx", ".json", ".txt", ".model", ".md")  # all others may hold weights of the graph, by any name
_IN_EVERY_GRAPH = ("Transformer", "Pooling", "Normalize")


def graph_of(folder: Path) -> Path | None:
    """Return the graph of a folder that has no weights of PyTorch's; `None` for every other one.

    Raises `InputError` for one with several graphs, none of which has a usual name.
    """
    if any(folder.glob("*.safetensors")):
        return None
    graphs = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    for path in (folder / name for name in _GRAPHS):
        if path in graphs:
            return path
    if len(graphs) > 1:
        raise InputError(f"{folder} has {len(graphs)} graphs; name the one that is meant {folder / _GRAPHS[0]}")
    return graphs[0] if graphs else None


def check_graph_folder(folder: Path, graph: Path) -> list[Path]:
    """Return the graph and what may hold weights beside it; raise `InputError` where a part is missing."""
    if not (folder / "tokenizer.json").is_file():
        raise InputError(f"{folder} has no tokenizer.json; complete the folder, or name another teacher")
    if graph.stat().st_size < 1024 and graph.read_bytes().startswith(b"version https://git-lfs"):
        raise InputError(f"{graph} is only a pointer to the graph; run `git lfs pull` in its folder")
    files = (path for path in graph.parent.iterdir() if path.is_file() and not path.name.startswith("."))
    return [graph, *sorted(path for path in files if path.suffix not in _NOT_WEIGHTS)]


def own_pooling(folder: Path) -> str:
    """Return what `1_Pooling/config.json` says; nothing without it. Raise `InputError` for a pooling not done here."""
    path = folder / "1_Pooling" / "config.json"
    config = configuration(path)
    if not config:
        return ""
    named = config.get("pooling_mode")
    modes = [named] if named else [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    known = [mode for mode, key in POOLINGS.items() if modes in ([mode], [key])]
    if not known or config.get("include_prompt") is False:
        what = ", ".join(map(str, modes)) + (" without the prompt" if known else "")
        raise InputError(
            f"{path} asks for the pooling {what}, and of an ONNX folder one of {', '.join(POOLINGS)} is read"
            "; choose another teacher, or serve it and give the endpoint"
        )
    return known[0]


def other_modules(folder: Path) -> list[str]:
    """Return the modules of `modules.json` that a graph of the transformer does not hold."""
    path = folder / "modules.json"
    modules: list[Any] = read_json(path) if path.is_file() else []
    names = [str(module.get("type", "")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
    return [name for name in names if name not in _IN_EVERY_GRAPH]


def own_max_length(folder: Path) -> int:
    """Return at how many tokens a text is cut: what the folder says in the first place that does, else 512."""
    said = configuration(folder / "sentence_bert_config.json").get("max_seq_length")
    tokenizer = configuration(folder / "tokenizer_config.json")
    model = configuration(folder / "config.json")
    truncation = configuration(folder / "tokenizer.json").get("truncation") or {}
    for limit in (
        said,
        truncation.get("max_length"),
        tokenizer.get("model_max_length"),
        model.get("max_position_embeddings"),
    ):
        if isinstance(limit, int | float) and 3 <= limit <= 1_000_000:
            return int(limit)
    return 512
