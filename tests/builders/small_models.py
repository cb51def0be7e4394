"""Small real inputs for the tests of the model side: a random teacher folder, and a corpus of made-up sentences."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

WORDS = [a + b for a in ("ba", "de", "fi", "go", "ku", "la", "mo", "nu") for b in ("ra", "st", "ton", "ming", "x")]


def sentences(count: int, seed: int = 3, longest: int = 12) -> list[str]:
    """Return distinct-looking sentences of 2 … `longest` words."""
    source = random.Random(seed)
    return [" ".join(source.choices(WORDS, k=source.randint(2, longest))) + f" {number}" for number in range(count)]


def make_tokenizer(path: Path, size: int = 160) -> None:
    """Train a WordPiece tokenizer on the sentences."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(sentences(400), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


def make_teacher(folder: Path, hidden: int = 32) -> Path:
    """Write a sentence-transformers folder: a random BERT, mean pooling, normalisation, a prompt for queries."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    make_tokenizer(folder / "tokenizer.json")
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
        architectures=["BertModel"],
    )
    torch.manual_seed(5)
    model = BertModel(config, add_pooling_layer=False)
    save_file(dict(model.state_dict()), folder / "model.safetensors", {"format": "pt"})
    files = {
        "config.json": config.to_dict(),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
            "model_max_length": 48,
        },
        "sentence_bert_config.json": {"max_seq_length": 48, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": "lara: ", "document": ""}},
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True},
    }
    (folder / "2_Normalize").mkdir(exist_ok=True)
    for name, value in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value))
    return folder


def write_lines(path: Path, values: Sequence[Mapping[str, object]]) -> None:
    """Write JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def make_texts(folder: Path, documents: int = 40, queries: int = 25, training: int = 90) -> None:
    """Write the outputs of the stages corpus, queries and vocabulary."""
    texts = sentences(documents, seed=1, longest=30)
    rows = [{"_id": f"d{number}", "title": "", "text": text} for number, text in enumerate(texts)]
    write_lines(folder / "corpus" / "corpus.jsonl", rows)
    asked = sentences(queries, seed=2, longest=5)
    write_lines(folder / "corpus" / "queries.jsonl", [{"_id": f"q{n}", "text": text} for n, text in enumerate(asked)])
    trained = [{"text": text, "role": "document", "kind": "document"} for text in texts]
    trained += [{"text": text, "role": "query", "kind": "crop"} for text in sentences(training - documents, seed=4)]
    write_lines(folder / "queries" / "training.jsonl", trained)
    make_tokenizer(folder / "vocabulary" / "tokenizer.json")


def make_vectors(folder: Path, dimension: int = 16) -> None:
    """Write what the teacher stage would: vectors that a small student can learn (a random bag of words)."""
    from safetensors.numpy import save_file

    source = np.random.default_rng(9)
    of_word = {word: source.standard_normal(dimension) for word in WORDS}
    lines = (folder / "queries" / "training.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [
        np.sum([of_word[word] for word in json.loads(line)["text"].split() if word in of_word], axis=0)
        for line in lines
    ]
    vectors = np.array(rows, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    (folder / "teacher").mkdir(parents=True, exist_ok=True)
    np.save(folder / "teacher" / "training.npy", vectors)
    identity = {"mean": np.zeros(dimension, np.float32), "matrix": np.eye(dimension, dtype=np.float32)}
    save_file(identity, folder / "teacher" / "projection.safetensors")
