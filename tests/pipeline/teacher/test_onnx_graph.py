"""Teachers that the graph writer cannot express go through PyTorch's exporter, all their modules with them."""

import numpy as np
import pytest
from builders.small_student import small_tokenizer
from pocketrank.pipeline.settings import TeacherSettings

torch = pytest.importorskip("torch")

ROLES = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}


def test_another_architecture_with_a_dense_module_gives_the_teachers_vectors(tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from pocketrank.pipeline.teacher.load import load_teacher
    from pocketrank.pipeline.teacher.onnx_graph import open_teacher, write_teacher
    from transformers import DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

    modules = pytest.importorskip("sentence_transformers.models")
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=200, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64)
    DistilBertModel(config).save_pretrained(tmp_path / "plain")
    names = ["input_ids", "attention_mask"]  # this architecture knows no token types
    options = {"model_max_length": 64, "model_input_names": names, **ROLES}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=small_tokenizer(), **options)
    tokenizer.save_pretrained(tmp_path / "plain")
    parts = [modules.Transformer(str(tmp_path / "plain")), modules.Pooling(32, "mean"), modules.Dense(32, 16)]
    sentence_transformers.SentenceTransformer(modules=parts, device="cpu").save(str(tmp_path / "teacher"))

    teacher = load_teacher(TeacherSettings(model=str(tmp_path / "teacher"))).first
    assert write_teacher(teacher, tmp_path / "out") == "torch.onnx"
    encoder = open_teacher(teacher, tmp_path / "out")
    texts = ["hello world", "merge two sorted lists " * 20, "", "open a network connection"]
    expected = teacher.encode(texts)
    assert np.abs(encoder.encode(texts) - expected).max() < 1e-5
    assert np.abs(encoder.encode(texts, batch_tokens=1000) - expected).max() < 1e-5
