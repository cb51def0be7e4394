"""The kinds of teacher that are shown to work: how each is made, and what it is called in the table."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers.base.modules import Dense, Normalize, Router
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from experiments.teachers.kinds import folders
from experiments.teachers.kinds.folders import DECODER, SHAPE, WIDTH, byte_level, pooling, save, transformer

E5_PROMPTS = {"query": "query: ", "passage": "passage: "}
INSTRUCTION = "Instruct: Given a query, find what answers it\nQuery: "


@dataclass(frozen=True)
class Kind:
    """One kind of teacher."""

    architecture: str
    pooling: str
    dtype: str  # of the weights in the folder
    source: str  # what is special about the folder
    write: Callable[[Path], None]  # makes it in a new folder; the one that is named holds the parts

    @property
    def name(self) -> str:
        """What identifies it."""
        return ", ".join(part for part in (self.architecture, self.pooling, self.dtype, self.source) if part)


def _bert(mode: str = "mean", dtype: str = "float32", **options: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        save([*bert_modules(folder, mode, dtype), Normalize()], folder, **options)

    return write


def bert_modules(folder: Path, mode: str = "mean", dtype: str = "float32", shard: str = "") -> list[Any]:
    """Write a random BERT into `folder / "parts"` and return it and its pooling as modules."""
    parts = folder / "parts"
    config = transformers.BertConfig(vocab_size=folders.wordpiece(parts), **SHAPE)
    return [transformer(parts, config, transformers.BertModel, dtype=dtype, shard=shard), pooling(mode)]


def _dense(width: int = 24) -> Any:
    torch.manual_seed(6)
    return Dense(WIDTH, width)


def _bert_sharded(folder: Path) -> None:
    save(bert_modules(folder, "cls"), folder)
    (folder / "model.safetensors").unlink()
    bert_modules(folder, shard="20KB")
    for path in (folder / "parts").glob("model*"):
        shutil.copy(path, folder / path.name)


def _mpnet(folder: Path) -> None:
    parts = folder / "parts"
    config = transformers.MPNetConfig(vocab_size=folders.wordpiece(parts), pad_token_id=0, **SHAPE)
    save([transformer(parts, config, transformers.MPNetModel), pooling("mean"), Normalize()], folder)


def _distilbert(folder: Path) -> None:
    parts = folder / "parts"
    config = transformers.DistilBertConfig(
        vocab_size=folders.wordpiece(parts), dim=WIDTH, n_layers=2, n_heads=2, hidden_dim=64, initializer_range=0.3
    )
    save([transformer(parts, config, transformers.DistilBertModel), pooling("mean")], folder)


def _roberta(folder: Path) -> None:
    parts = folder / "parts"
    size = byte_level(parts, ["<s>", "<pad>", "</s>", "<mask>"], "<s> $A </s>")
    config = transformers.RobertaConfig(vocab_size=size, type_vocab_size=1, **SHAPE)
    save([transformer(parts, config, transformers.RobertaModel), pooling("mean")], folder)


def _xlm_roberta(folder: Path) -> None:
    parts = folder / "parts"
    size = folders.unigram(parts, ["<s>", "<pad>", "</s>", "<unk>"], "<s> $A </s>")
    config = transformers.XLMRobertaConfig(vocab_size=size, type_vocab_size=1, **SHAPE)
    modules = [transformer(parts, config, transformers.XLMRobertaModel), pooling("mean"), Normalize()]
    save(modules, folder)
    _prompts(folder, E5_PROMPTS)


def _prompts(folder: Path, prompts: dict[str, str]) -> None:
    """Write prompts as their makers do: the library would add empty ones of its own names."""
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"prompts": prompts}), encoding="utf-8")


def _modern_bert(mode: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        parts = folder / "parts"
        names = ["<s>", "<pad>", "</s>", "<mask>"]
        size = byte_level(parts, names, "<s> $A </s>", model_input_names=["input_ids", "attention_mask"])
        tokens = {"pad_token_id": 1, "bos_token_id": 0, "cls_token_id": 0, "eos_token_id": 2, "sep_token_id": 2}
        config = transformers.ModernBertConfig(vocab_size=size, local_attention=16, **tokens, **SHAPE)
        save([transformer(parts, config, transformers.ModernBertModel), pooling(mode)], folder)

    return write


def _t5(folder: Path) -> None:
    parts = folder / "parts"
    size = folders.unigram(parts, ["<pad>", "</s>", "<unk>"], "$A </s>")
    config = transformers.T5Config(
        vocab_size=size, d_model=WIDTH, d_kv=16, d_ff=64, num_layers=2, num_heads=2, architectures=["T5EncoderModel"]
    )
    modules = [transformer(parts, config, transformers.T5EncoderModel), pooling("mean"), _dense(), Normalize()]
    save(modules, folder)


def _qwen3(folder: Path) -> None:
    parts = folder / "parts"
    size = byte_level(parts, ["<|endoftext|>", "<s>"], "$A <|endoftext|>", padding_side="left")
    config = transformers.Qwen3Config(vocab_size=size, **DECODER)
    modules = [transformer(parts, config, transformers.Qwen3Model), pooling("lasttoken"), Normalize()]
    save(modules, folder, prompts={"query": INSTRUCTION, "document": ""})


def _mistral(folder: Path) -> None:
    parts = folder / "parts"
    size = byte_level(parts, ["<pad>", "<s>", "</s>"], "<s> $A </s>", padding_side="left")
    shape = {key: value for key, value in DECODER.items() if key != "layer_types"}
    config = transformers.MistralConfig(vocab_size=size, **shape)
    modules = [transformer(parts, config, transformers.MistralModel, dtype="float16"), pooling("lasttoken")]
    save(modules, folder, prompts={"web_search_query": INSTRUCTION})


def _gemma3(folder: Path) -> None:
    parts = folder / "parts"
    size = byte_level(parts, ["<pad>", "</s>", "<s>"], "<s> $A </s>")
    config = transformers.Gemma3TextConfig(
        vocab_size=size, sliding_window=16, use_bidirectional_attention=True, query_pre_attn_scalar=16, **DECODER
    )
    prompts = {"query": "task: search result | query: ", "document": "title: none | text: ", "STS": "task: similarity"}
    modules = [transformer(parts, config, transformers.Gemma3TextModel, dtype="bfloat16")]
    save([*modules, pooling("mean"), _dense(48), Normalize()], folder, prompts=prompts)


def _router(folder: Path) -> None:
    parts = bert_modules(folder)
    torch.manual_seed(7)
    routes: list[Any] = [[Dense(WIDTH, 16)], [Dense(WIDTH, 16)]]
    save([*parts, Router.for_query_document(routes[0], routes[1])], folder)


def _static(folder: Path) -> None:
    parts = folder / "parts"
    folders.wordpiece(parts)
    torch.manual_seed(8)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(parts)
    save([StaticEmbedding(tokenizer, embedding_dim=WIDTH)], folder)


def _static_router(folder: Path) -> None:
    modules = bert_modules(folder)
    torch.manual_seed(8)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder / "parts")
    save([Router.for_query_document([StaticEmbedding(tokenizer, embedding_dim=WIDTH)], modules)], folder)


def _model2vec(folder: Path) -> None:
    import numpy as np
    from model2vec import StaticModel
    from tokenizers import Tokenizer

    parts = folder / "parts"
    size = folders.wordpiece(parts)
    vectors = np.random.default_rng(9).standard_normal((size, WIDTH)).astype(np.float32)
    tokenizer = Tokenizer.from_file(str(parts / "tokenizer.json"))
    StaticModel(vectors, tokenizer, config={"normalize": True}).save_pretrained(folder)


def plain(folder: Path) -> None:
    """Write a random BERT as transformers does, without the modules of sentence-transformers."""
    bert_modules(folder)
    for path in (folder / "parts").iterdir():
        shutil.copy(path, folder / path.name)


ACCEPTED = (
    Kind("BERT", "mean", "float32", "", _bert()),
    Kind("BERT", "CLS", "float32", "", _bert("cls")),
    Kind("BERT", "max", "float32", "", _bert("max")),
    Kind("BERT", "weighted mean", "float32", "", _bert("weightedmean")),
    Kind("BERT", "mean, square root of the length", "float32", "", _bert("mean_sqrt_len_tokens")),
    Kind("BERT", "mean", "float16", "", _bert(dtype="float16")),
    Kind("BERT", "mean", "bfloat16", "", _bert(dtype="bfloat16")),
    Kind("BERT", "CLS", "float32", "weights in shards", _bert_sharded),
    Kind("BERT", "mean", "float32", "Matryoshka, truncate_dim = 12", _bert(truncate_dim=12)),
    Kind(
        "BERT",
        "mean",
        "float32",
        "prompt by default_prompt_name",
        _bert(prompts={"search": "find: "}, default_prompt_name="search"),
    ),
    Kind("BERT", "mean", "float32", "Router after the pooling", _router),
    Kind("BERT", "mean", "float32", "a folder of transformers, no modules.json", plain),
    Kind("MPNet", "mean", "float32", "", _mpnet),
    Kind("DistilBERT", "mean", "float32", "", _distilbert),
    Kind("RoBERTa", "mean", "float32", "", _roberta),
    Kind("XLM-RoBERTa", "mean", "float32", "prompts query and passage", _xlm_roberta),
    Kind("ModernBERT", "mean", "float32", "", _modern_bert("mean")),
    Kind("ModernBERT", "CLS", "float32", "", _modern_bert("cls")),
    Kind("T5 encoder", "mean", "float32", "Dense", _t5),
    Kind("Qwen3", "last token", "float32", "padded on the left", _qwen3),
    Kind("Mistral", "last token", "float16", "padded on the left, prompts by other names", _mistral),
    Kind("Gemma 3", "mean", "bfloat16", "Dense", _gemma3),
    Kind("StaticEmbedding", "none", "float32", "", _static),
    Kind("StaticEmbedding and BERT", "none and mean", "float32", "Router first", _static_router),
    Kind("model2vec", "none", "float32", "a folder of model2vec", _model2vec),
)
