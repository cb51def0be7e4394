"""Small random teachers of the real architectures, written as their makers write them: no network, no download."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

WIDTH = 32
LENGTH = 64  # tokens that a teacher reads
_WORDS = [a + b for a in ("ba", "de", "fi", "go", "ku", "la", "mo", "nu") for b in ("ra", "st", "ton", "ming", "x")]
_VOCABULARY = 320

# What every configuration has under one name or another.
SHAPE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": LENGTH + 4,
    "initializer_range": 0.3,
}
DECODER: dict[str, Any] = SHAPE | {"num_key_value_heads": 1, "head_dim": 16, "layer_types": None}


def sentences(count: int = 400) -> list[str]:
    """Return made-up sentences."""
    source = random.Random(3)
    return [" ".join(source.choices(_WORDS, k=source.randint(2, 12))) + f" {number}" for number in range(count)]


def wordpiece(folder: Path, **config: Any) -> int:
    """Write the tokenizer of the BERT family; return the size of its vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=_VOCABULARY, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return _save(tokenizer, folder, names, **config)


def unigram(folder: Path, special: Sequence[str], template: str, **config: Any) -> int:
    """Write a SentencePiece-like tokenizer, such as those of XLM-R (`<s> $A </s>`) and T5 (`$A </s>`)."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=_VOCABULARY, special_tokens=list(special), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    _post_process(tokenizer, template, special)
    names = {"pad": "<pad>", "unk": "<unk>", "eos": "</s>"} | ({"bos": "<s>"} if "<s>" in special else {})
    return _save(tokenizer, folder, names, **config)


def byte_level(folder: Path, special: Sequence[str], template: str, **config: Any) -> int:
    """Write a byte-level BPE tokenizer, such as those of RoBERTa, ModernBERT, Qwen3 and Mistral."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY + 256,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    _post_process(tokenizer, template, special)
    known = {"<pad>": "pad", "<s>": "bos", "</s>": "eos", "<|endoftext|>": "pad", "<mask>": "mask"}
    return _save(tokenizer, folder, {known[name]: name for name in special if name in known}, **config)


def transformer(folder: Path, config: Any, model: type[Any], *, shard: str = "", dtype: str = "float32") -> Any:
    """Write random weights of an architecture into `folder`, which holds the tokenizer, and open it as a module."""
    torch.manual_seed(5)
    made = model(config).to(getattr(torch, dtype))
    folder.mkdir(parents=True, exist_ok=True)
    made.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    return Transformer(str(folder), max_seq_length=LENGTH, model_kwargs={"dtype": getattr(torch, dtype)})


def pooling(mode: Any) -> Any:
    """Return a pooling module."""
    return Pooling(WIDTH, pooling_mode=mode)


def save(modules: Sequence[Any], folder: Path, **options: Any) -> None:
    """Write modules as a sentence-transformers folder; `options` are those of the library, such as `prompts`."""
    SentenceTransformer(modules=list(modules), device="cpu", **options).save(str(folder), create_model_card=False)


def _post_process(tokenizer: Tokenizer, template: str, special: Sequence[str]) -> None:
    numbers = [(name, special.index(name)) for name in template.split() if name in special]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=numbers)


def _save(tokenizer: Tokenizer, folder: Path, special: dict[str, str], **config: Any) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special.values()])
    tokenizer.save(str(folder / "tokenizer.json"))
    written = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": LENGTH,
        **{f"{role}_token": name for role, name in special.items()},
        **config,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(written), encoding="utf-8")
    return tokenizer.get_vocab_size()
