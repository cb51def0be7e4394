"""Stage `passages`: windows of the documents that are longer than teacher or student reads.

Of such a document both read the beginning; its training text stands for that. What follows is cut into windows that
both read whole, and the teacher gives each its vector. Documents within the limits give none.
"""

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...runtime.files import write_bytes, write_json
from ...runtime.schema import to_mapping
from ..corpus.output import CorpusOutput
from ..queries.output import QueriesOutput
from ..queries.training_texts import TrainingText
from ..retrieval.dataset import json_lines
from ..settings import TeacherSettings
from ..stage import StageContext
from ..teacher.bi_encoder import BiEncoder
from ..teacher.load import load_teacher, processes
from ..teacher.output import TeacherOutput
from ..teacher.protocol import EmbeddingTeacher
from ..teacher.selection import selected_teacher, surroundings
from ..teacher.stage import document_texts
from ..teacher.vectors.cluster import LOCAL
from ..teacher.vectors.files import VectorWriter, read_shards
from ..teacher.vectors.shards import cut_shards, encode_shards, shards_folder
from ..training.accelerator import available_devices
from ..vocabulary.output import VocabularyOutput
from .output import PassagesOutput, PassagesRecord
from .windows import windows

SHARE_OF_TEXTS = 4  # passages are at most a fourth as many as `queries.max_texts`


def run_passages(context: StageContext) -> None:
    """Write `report.json`: how much of the documents is read; and `passages.jsonl` and `passages.npy`."""
    settings, output, recipe = selected_teacher(context), PassagesOutput(context.output), context.recipe
    documents = CorpusOutput.of(context).documents_file
    student = StudentReading(VocabularyOutput.of(context).tokenizer_file, recipe.student.max_length)
    trained = {text.text for text in QueriesOutput.of(context).training_texts() if text.kind == "document"}
    if recipe.distill.passage_share:
        teacher = load_teacher(settings, surroundings(context))
        found = find_passages(document_texts(documents), trained, student, teacher.first)
        drawn = _draw(len(found), recipe.queries.max_texts // SHARE_OF_TEXTS, recipe.seed)
        texts = found.texts(document_texts(documents), drawn)
        passages = (TrainingText(text, "document", "passage") for text in texts)
        write_bytes(output.texts_file, json_lines(text.record() for text in passages))
        _encode(context, settings, teacher, len(drawn))
        record = found.record(drawn)
    else:
        record = count_read(document_texts(documents), trained, student)
    write_json(output.record_file, to_mapping(record))
    cut = f": {record.drawn:,} of {record.passages:,} passages" if record.passages else ""
    context.progress.note(
        f"  {record.long_documents:,} of {record.documents:,} documents are longer than is read at once{cut}; of the "
        f"documents' tokens {record.trained_tokens / max(record.tokens, 1):.1%} are trained on, "
        f"{record.indexed_tokens / max(record.tokens, 1):.1%} indexed"
    )


class StudentReading:
    """How a student's tokenizer reads texts."""

    def __init__(self, tokenizer_file: Path, max_length: int) -> None:
        """Open `tokenizer_file`; texts are read up to `max_length` tokens, [CLS] and [SEP] included."""
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._tokenizer.no_padding()
        self._max_length = max_length

    def characters(self, text: str) -> int:
        """Return how many characters of `text` are read."""
        self._tokenizer.enable_truncation(self._max_length)
        encoding = self._tokenizer.encode(text)
        return max(end for _, end in encoding.offsets) if encoding.overflowing else len(text)

    def tokens(self, text: str) -> int:
        """Return how many tokens a text has, without [CLS] and [SEP]."""
        self._tokenizer.no_truncation()
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def tokens_read(self, count: int) -> int:
        """Return how many of `count` tokens are read."""
        return min(count, self._max_length - self._tokenizer.num_special_tokens_to_add(is_pair=False))


@dataclass
class FoundPassages:
    """Where the passages are, in twenty-four bytes each, and what has been counted."""

    rows: "array[int]" = field(default_factory=lambda: array("l"))  # of their documents
    begins: "array[int]" = field(default_factory=lambda: array("l"))  # characters
    ends: "array[int]" = field(default_factory=lambda: array("l"))
    tokens: "array[int]" = field(default_factory=lambda: array("l"))
    documents: int = 0
    long_documents: int = 0
    document_tokens: int = 0
    trained_first_tokens: int = 0  # of the windows that documents themselves stand for
    indexed_tokens: int = 0

    def __len__(self) -> int:
        """Return the number of passages."""
        return len(self.rows)

    def texts(self, documents: Iterator[str], drawn: range | list[int]) -> Iterator[str]:
        """Yield the texts of the passages at the ascending positions `drawn`."""
        row = -1
        text = ""
        for position in drawn:
            while row < self.rows[position]:
                text, row = next(documents), row + 1
            yield text[self.begins[position] : self.ends[position]].strip()

    def record(self, drawn: range | list[int]) -> PassagesRecord:
        """Return the counts."""
        return PassagesRecord(
            documents=self.documents,
            long_documents=self.long_documents,
            passages=len(self),
            drawn=len(drawn),
            tokens=self.document_tokens,
            # A word that is cut in two may have more tokens than whole.
            trained_tokens=min(
                self.trained_first_tokens + sum(map(self.tokens.__getitem__, drawn)), self.document_tokens
            ),
            indexed_tokens=self.indexed_tokens,
        )


def count_read(documents: Iterator[str], trained: set[str], student: StudentReading) -> PassagesRecord:
    """Count how much the student reads of documents without passages; `trained` are those that are trained on."""
    counts = [(student.tokens(text), text in trained) for text in documents]
    read = [(student.tokens_read(count), is_trained) for count, is_trained in counts]
    return PassagesRecord(
        documents=len(counts),
        long_documents=sum(count > student.tokens_read(count) for count, _ in counts),
        passages=0,
        drawn=0,
        tokens=sum(count for count, _ in counts),
        trained_tokens=sum(count for count, is_trained in read if is_trained),
        indexed_tokens=sum(count for count, _ in read),
    )


def find_passages(
    documents: Iterator[str], trained: set[str], student: StudentReading, teacher: BiEncoder | None
) -> FoundPassages:
    """Cut all documents; `trained` are the texts of those that are trained on."""

    def characters_read(text: str) -> int:
        read = student.characters(text)
        return min(read, teacher.characters_read(text[:read], "document")) if teacher else read

    found = FoundPassages()
    for row, text in enumerate(documents):
        spans = list(windows(text, characters_read))
        counts = [student.tokens(text[begin:end]) for begin, end in spans]
        tokens = student.tokens(text)
        found.documents += 1
        found.document_tokens += tokens
        found.trained_first_tokens += sum(counts[:1]) if text in trained else 0
        found.indexed_tokens += student.tokens_read(tokens)
        found.long_documents += len(spans) > 1
        for (begin, end), count in zip(spans[1:], counts[1:], strict=True):
            if text[begin:end].strip():
                found.rows.append(row)
                found.begins.append(begin)
                found.ends.append(end)
                found.tokens.append(count)
    return found


def _draw(count: int, most: int, seed: int) -> range | list[int]:
    return range(count) if count <= most else sorted(random.Random(f"{seed} passage").sample(range(count), most))


def _encode(context: StageContext, settings: TeacherSettings, teacher: EmbeddingTeacher, count: int) -> None:
    """Write `passages.npy`: on the device and in the precision of the other training texts."""
    output, folder = PassagesOutput(context.output), shards_folder(context.scratch)
    folder.mkdir(parents=True, exist_ok=True)
    record = TeacherOutput.of(context).record()
    device = record["device"] if record["device"] in available_devices() else "cpu"
    if teacher.first:
        teacher.compute_on(device)
    precision = "fp32" if record["precision"] == "fp32" else "bf16"
    texts = (lambda: document_texts(output.texts_file)) if count else lambda: iter(())
    paths, encoded = encode_shards(
        teacher,
        [lambda: cut_shards(texts(), "document", teacher.fingerprint, folder, settings.shard_texts, precision)],
        processes(settings) if device == "cpu" else 1,
        context.progress,
        on=context.on if device == "cpu" and teacher.first else LOCAL,
    )
    writer = VectorWriter(output.vectors_file, count, teacher.dimension)
    for values in read_shards(paths[0]):
        writer.write(values.tobytes())
    writer.close()
    write_json(context.output / "speed.json", encoded.speed())
