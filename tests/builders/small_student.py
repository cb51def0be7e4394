"""A small random student with a tokenizer that fits it, for tests of the export that need no training."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["merge", "two", "sorted", "lists", "open", "network", "connection", "hello", "world", "漢", "é", "é́", "½"]


def small_model(folder: Path, act: str = "gelu", hidden: int = 48, **config: Any):
    """Save a random small BERT with a projection in the student's layout and return its modules."""
    import torch
    from safetensors.numpy import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    settings = BertConfig(
        vocab_size=200,
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        hidden_act=act,
        max_position_embeddings=64,
        **config,
    )
    model = BertModel(settings, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    projection = torch.nn.Linear(hidden, 24)
    tensors = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    tensors |= {"projection.weight": projection.weight.detach().numpy()}
    tensors |= {"projection.bias": projection.bias.detach().numpy()}
    settings.save_pretrained(folder)
    save_file(tensors, folder / "model.safetensors")
    return model, projection


def small_vocabulary() -> dict[str, int]:
    """Return 200 pieces: special tokens, printable ASCII, its continuations, and some words."""
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters if letter.isalnum()), *WORDS]
    pieces += [f"filler{number}" for number in range(200 - len(pieces))]
    return {piece: number for number, piece in enumerate(pieces)}


def small_tokenizer() -> Tokenizer:
    """Return a WordPiece tokenizer of 200 pieces that works like a BERT's."""
    vocabulary = small_vocabulary()
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    made.add_special_tokens(SPECIAL)
    return made
