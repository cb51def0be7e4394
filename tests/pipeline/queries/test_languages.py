"""Teachers whose tokenizers are Unigram or byte-level BPE, and a corpus in another script, from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders.small_models import write_lines
from pocketrank.export.bundle.tokenizer import compact_tokenizer, first_difference
from pocketrank.export.check.tokenizer_edge_cases import TOKENIZER_EDGE_CASES
from pocketrank.pipeline.settings import DistillSettings, Recipe, StudentSettings, TeacherSettings, VocabularySettings
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.stages import STAGES
from pocketrank.pipeline.student.initialization import teacher_source
from pocketrank.pipeline.student.layer_transfer import compose_embeddings
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.onnx_graph import open_teacher, write_teacher
from pocketrank.pipeline.vocabulary.token_mapping import Speller, byte_level, spell_all
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.progress import NoProgress
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LINES = (
    "файл каталог строка процесс память сеть порт адрес ключ замок поток очередь список дерево узел",
    "запрос ответ ошибка открыть закрыть читать писать удалить создать найти сжать распаковать",
    "передать принять ждать завершить быстро медленно снова всегда никогда file socket buffer 12 255",
)
WORDS = [word for line in LINES for word in line.split()]


def sentences(count: int, seed: int, longest: int = 12) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(2, longest))) for _ in range(count)]


def teacher_tokenizer(kind: str) -> Tokenizer:
    """Train a tokenizer as XLM-R (Unigram) or RoBERTa (byte-level BPE) have."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    if kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=160, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    made.train_from_iterator(sentences(400, 1), trainer)
    ends = [(name, made.token_to_id(name)) for name in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    made.add_special_tokens([AddedToken(name, special=True) for name in special])
    return made


def make_teacher(folder: Path, kind: str) -> Path:
    """Write a random XLM-R or RoBERTa of two layers as a sentence-transformers folder."""
    import torch
    from safetensors.torch import save_file
    from transformers import RobertaConfig, RobertaModel, XLMRobertaConfig, XLMRobertaModel

    folder.mkdir(parents=True)
    made = teacher_tokenizer(kind)
    made.save(str(folder / "tokenizer.json"))
    family = (XLMRobertaConfig, XLMRobertaModel) if kind == "unigram" else (RobertaConfig, RobertaModel)
    config = family[0](
        vocab_size=made.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
        initializer_range=0.3,
        type_vocab_size=1,
        pad_token_id=1,
        architectures=[family[1].__name__],
    )
    torch.manual_seed(5)
    model = family[1](config, add_pooling_layer=False)
    save_file(dict(model.state_dict()), folder / "model.safetensors", {"format": "pt"})
    modules = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    files = {
        "config.json": config.to_dict(),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{f"{role}_token": name for role, name in
               (("bos", "<s>"), ("cls", "<s>"), ("eos", "</s>"), ("sep", "</s>"), ("pad", "<pad>"), ("unk", "<unk>"))},
            "model_max_length": 64,
        },
        "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": False},
        "modules.json": [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{name}"}
            for n, (name, path) in enumerate(modules.items())
        ],
        "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    }  # fmt: skip
    (folder / "2_Normalize").mkdir()
    for name, value in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value))
    return folder


def run_stages(folder: Path, recipe: Recipe, names: tuple[str, ...]) -> dict[str, Path]:
    """Run stages on the corpus of `folder`, without cache; return every stage's folder."""
    places = {name: folder / name for name in ("corpus", "queries")}
    for stage in STAGES:
        if stage.name in names:
            places[stage.name] = folder / stage.name
            (folder / stage.name).mkdir()
            (folder / "work" / stage.name).mkdir(parents=True)
            inputs = {name: places[name] for name in stage.inputs if name in places}
            context = StageContext(recipe, {}, inputs, places[stage.name], folder / "work" / stage.name, NoProgress())
            stage.run(context)
    return places


def make_corpus(folder: Path) -> None:
    documents, queries = sentences(60, 2, longest=30), sentences(20, 3, longest=5)
    rows = [{"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(documents)]
    write_lines(folder / "corpus" / "corpus.jsonl", rows)
    write_lines(folder / "corpus" / "queries.jsonl", [{"_id": f"q{n}", "text": text} for n, text in enumerate(queries)])
    (folder / "corpus" / "qrels").mkdir()
    for split in ("train", "test"):
        lines = [
            "query-id\tcorpus-id\tscore",
            *(f"q{n}\td{n}\t1" for n in range(20) if (n % 2 == 0) == (split == "test")),
        ]
        (folder / "corpus" / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    trained = [{"text": text, "role": "document", "kind": "document"} for text in documents]
    trained += [{"text": text, "role": "query", "kind": "crop"} for text in sentences(120, 4)]
    write_lines(folder / "queries" / "training.jsonl", trained)


@pytest.mark.parametrize(("kind", "vocabulary"), [("unigram", "wordpiece"), ("bpe", "unigram")])
def test_from_a_teacher_of_another_kind_to_a_bundle(tmp_path: Path, kind: str, vocabulary: str) -> None:
    model = make_teacher(tmp_path / "teacher-model", kind)
    make_corpus(tmp_path)
    recipe = Recipe(
        "test",
        teacher=TeacherSettings(model=str(model), dimension=16, workers=1),
        vocabulary=VocabularySettings(kind=vocabulary, size=240),  # pyright: ignore[reportArgumentType]
        student=StudentSettings(layers=1, hidden=24, heads=2, intermediate=32, max_length=40, initialise="teacher"),
        distill=DistillSettings(steps=60, batch_texts=16, warmup_steps=5, workers=1),
    )
    places = run_stages(tmp_path, recipe, ("vocabulary", "teacher", "distill", "export"))
    encoder = Encoder.open(places["export"] / "bundle")
    assert 1 not in {token for text in sentences(200, 9) for token in encoder.tokenize(text)}  # no unknown
    points = json.loads((places["distill"] / "log.json").read_text())["points"]
    assert points[-1]["cosine"] < 0.1  # 1 - cosine to the teacher; two random vectors have 1
    parity = {row["name"]: row for row in json.loads((places["export"] / "parity.json").read_text())}
    teacher = load_teacher(recipe.teacher).first
    assert write_teacher(teacher, tmp_path / "teacher") == "own writer"
    graph, texts = open_teacher(teacher, tmp_path / "teacher"), sentences(8, 9)
    assert np.abs(graph.encode_documents(texts) - teacher.encode(texts)).max() < 1e-4
    assert parity["model"]["max_difference"] < 1e-5 and parity["model_quantized"]["cosine_min"] > 0.99


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def backend(request: pytest.FixtureRequest) -> Tokenizer:
    return teacher_tokenizer(request.param)


def test_words_are_spelled_as_the_teacher_reads_them(backend: Tokenizer) -> None:
    speller = Speller(backend)
    byte = any(piece.startswith("Ġ") for piece in backend.get_vocab())
    for word in ("файл", "файлпорт", "zz", "255"):
        text = f"и {word}" if byte else word  # the mark of byte-level tokenizers is the space before
        expected = backend.encode(text, add_special_tokens=False).ids
        assert speller.spell(word, True) == expected[len(expected) - len(speller.spell(word, True)) :]
    inside = speller.spell("файл", False)
    assert inside != speller.spell("файл", True)
    marks = [backend.id_to_token(token)[:1] for token in inside]
    assert not {"▁", "Ġ"} & set(marks)


def test_marks_of_either_vocabulary_mean_the_same(backend: Tokenizer) -> None:
    wordpiece, unigram = ["[CLS]", "файл", "##порт", "сеть"], ["[CLS]", "▁файл", "порт", "▁сеть"]
    assert spell_all(backend, wordpiece) == spell_all(backend, unigram)
    assert spell_all(backend, ["[CLS]"]) == [[backend.token_to_id("<s>")]]
    assert all(spell_all(backend, unigram))


def test_pieces_of_the_teacher_keep_their_vectors(tmp_path: Path) -> None:
    teacher = load_teacher(TeacherSettings(model=str(make_teacher(tmp_path / "teacher", "unigram")))).first
    known, table = teacher.model.tokenizer.get_vocab(), teacher.token_table()
    pieces = [piece for piece in known if not piece.startswith("<")]
    source = teacher_source(teacher)
    vectors = compose_embeddings(source.table, source.tokenizer, pieces)
    assert np.array_equal(vectors, table[[known[piece] for piece in pieces]])


def test_the_byte_alphabet_is_the_one_of_the_tokenizers_library() -> None:
    text = "файл é €\n\x00~"
    assert byte_level(text) == "".join(
        piece for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    )


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_their_tokenizers_can_be_made_compact(kind: str) -> None:
    pretty = teacher_tokenizer(kind).to_str(pretty=True).encode()
    compact = compact_tokenizer(pretty)
    assert len(compact) < 0.8 * len(pretty)
    assert first_difference(pretty, compact, [*TOKENIZER_EDGE_CASES, *sentences(200, 11)]) is None
    assert compact_tokenizer(compact) == compact


def test_a_students_unigram_tokenizer_is_the_same_after_compaction(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    recipe = Recipe("test", vocabulary=VocabularySettings(kind="unigram", size=240))
    data = (run_stages(tmp_path, recipe, ("vocabulary",))["vocabulary"] / "tokenizer.json").read_bytes()
    pretty = json.dumps(json.loads(data), indent=2).encode()
    compact = compact_tokenizer(pretty)
    assert len(compact) < 0.6 * len(pretty) and compact_tokenizer(compact) == compact
    draw = np.random.default_rng(6)
    random = ["".join(map(chr, draw.choice([*range(1, 0xD7FF), *range(0xE000, 0x1FFFF)], 40))) for _ in range(300)]
    assert first_difference(data, compact, [*TOKENIZER_EDGE_CASES, *sentences(200, 12), *random]) is None
