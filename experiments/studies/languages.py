"""One student for several languages: join their retrieval sets, and measure a bundle language by language.

`join` makes one set in BEIR layout of a folder that holds one for each language; ids get the language's name in front.
`xquad` makes such a set of XQuAD (Artetxe et al., arXiv 1910.11856; CC BY-SA 4.0): a question finds its paragraph.
`measure` ranks each language's test queries among the documents of that language alone, with the bundle and with the
teacher, and counts what texts become: tokens a word, unknown words. It reads the run's own set and the vectors that the
run kept, or another `--set`, which `--teacher` then encodes.

Examples:
    python -m experiments.studies.languages join data/tldr-multilingual data/tldr-multilingual-joined
    pocketrank run recipes/tldr-multilingual.toml --until bundle
    python -m experiments.studies.languages measure runs/tldr-multilingual --out experiments/reports/languages.json
    git clone https://github.com/google-deepmind/xquad data/xquad
    python -m experiments.studies.languages xquad data/xquad data/xquad-joined
    python -m experiments.studies.languages measure runs/tldr-multilingual --set data/xquad-joined --teacher e5
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set, write_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, scored_rows
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.teacher.source import resolve_teacher
from pocketrank.pipeline.teacher.vectors.shards import encode_texts
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.files import read_json, write_json
from pocketrank.runtime.manifest import read_manifest
from pocketrank.runtime.progress import Lines
from tokenizers import Tokenizer

EIGHT = {"de", "fr", "es", "pt-BR", "it", "ru", "zh", "ko"}  # the languages with more than a hundred test queries


def join(folder: Path) -> RetrievalSet:
    """Return the sets in the folders of `folder` as one; the id `3` of the folder `de` is `de/3`."""
    documents: dict[str, str] = {}
    titles: dict[str, str] = {}
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, dict[str, int]]] = {}
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        found, name = read_retrieval_set(part), part.name
        documents |= {f"{name}/{key}": text for key, text in found.documents.items()}
        titles |= {f"{name}/{key}": text for key, text in found.titles.items()}
        queries |= {f"{name}/{key}": text for key, text in found.queries.items()}
        for split, judged in found.qrels.items():
            qrels.setdefault(split, {}).update(
                {
                    f"{name}/{query}": {f"{name}/{document}": grade for document, grade in grades.items()}
                    for query, grades in judged.items()
                }
            )
    return RetrievalSet(documents, titles, queries, qrels)


def xquad(folder: Path) -> RetrievalSet:
    """Return the files `xquad.XX.json` of `folder` as one set: paragraphs, and the questions that each answers."""
    documents: dict[str, str] = {}
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for path in sorted(folder.glob("xquad.*.json")):
        name = path.name.split(".")[1]
        paragraphs = [paragraph for article in read_json(path)["data"] for paragraph in article["paragraphs"]]
        for number, paragraph in enumerate(paragraphs):
            documents[f"{name}/{number}"] = paragraph["context"]
            for question in paragraph["qas"]:
                queries[f"{name}/{question['id']}"] = question["question"]
                qrels[f"{name}/{question['id']}"] = {f"{name}/{number}": 1}
    return RetrievalSet(documents, {}, queries, {"test": qrels})


def part_of(whole: RetrievalSet, language: str, split: str) -> tuple[RetrievalSet, np.ndarray, np.ndarray]:
    """Return one language's documents and judged queries, and their rows in the whole set."""
    start = f"{language}/"
    judged = {query: grades for query, grades in whole.qrels[split].items() if query.startswith(start)}
    rows = [
        np.array([number for number, name in enumerate(names) if name.startswith(start)], np.int64)
        for names in (whole.queries, whole.documents)
    ]
    part = RetrievalSet(
        {name: text for name, text in whole.documents.items() if name.startswith(start)},
        {},
        {name: text for name, text in whole.queries.items() if name.startswith(start)},
        {split: judged},
    )
    return part, rows[0], rows[1]


def ndcg(queries: np.ndarray, documents: np.ndarray, part: RetrievalSet, split: str) -> np.ndarray:
    """Return nDCG@10 of every judged query."""
    return evaluate_scores(scored_rows(queries, part, split) @ documents.T, part, split).ndcg10


def reading(tokenizer: Any, part: RetrievalSet) -> dict[str, float]:
    """Return tokens a word and the share of words with something unknown in them, of documents and queries."""
    unknown = tokenizer.token_to_id("[UNK]")
    tokens = words = lost = 0
    for text in (*part.documents.values(), *part.queries.values()):
        encoding = tokenizer.encode(text, add_special_tokens=False)
        ids, places = np.array(encoding.ids), [word for word in encoding.word_ids if word is not None]
        tokens += len(ids)
        words += len(set(places))
        lost += int((ids == unknown).sum())
    return {"tokens_per_word": round(tokens / words, 3), "unknown_words": round(lost / words, 5)}


def measure(run: Path, other: Path | None = None, model: str = "") -> dict[str, Any]:
    """Return the figures of a run: on its own set, or on the one in `other`, which the teacher `model` encodes."""
    stages = run / "stages"
    bundle = stages / "bundle" / "bundle"
    teacher_id = read_json(stages / "teacher" / "teacher.json")["id"]
    whole = read_retrieval_set(other or stages / "corpus")
    encoder, manifest = Encoder.open(bundle), read_manifest(bundle)
    tokenizer = Tokenizer.from_file(str(stages / "vocabulary" / "tokenizer.json"))
    tokenizer.no_truncation()
    texts = list(whole.queries.values()), list(whole.documents.values())
    student = [encoder.encode_queries(texts[0]), encoder.encode_documents(texts[1])]
    if other:
        settings = TeacherSettings(model=model, sha256=resolve_teacher(TeacherSettings(model=model)).sha256)
        teacher = [
            encode_texts(settings, texts[0], Lines(), "query"),
            encode_texts(settings, texts[1], Lines(), "document"),
        ]
    else:
        teacher = [np.load(stages / "teacher" / f"{name}.npy") for name in ("queries", "documents")]
    languages: dict[str, dict[str, Any]] = {}
    for language in sorted({name.partition("/")[0] for name in whole.documents}):
        part, queries, documents = part_of(whole, language, "test")
        ours, theirs = (ndcg(pair[0][queries], pair[1][documents], part, "test") for pair in (student, teacher))
        languages[language] = {
            "documents": len(documents),
            "queries": len(ours),
            "teacher": round(float(theirs.mean()), 4),
            "bundle": round(float(ours.mean()), 4),
            "kept": round(float(ours.mean() / theirs.mean()), 4),
            "standard_error": round(float(ours.std(ddof=1) / len(ours) ** 0.5), 4),
            **reading(tokenizer, part),
        }
    shipped = manifest.variants[manifest.default_variant].file
    files = {"onnx": shipped, "tokenizer": "tokenizer.json"}
    return {
        "title": "One bundle for several languages",
        "set": other.name if other else manifest.name,
        "teacher": teacher_id,
        "vocabulary": tokenizer.get_vocab_size(),
        "bytes": {name: (bundle / file).stat().st_size for name, file in files.items()},
        "languages": languages,
        "mean_kept_of_eight": round(
            float(np.mean([languages[name]["kept"] for name in EIGHT if name in languages])), 4
        ),
    }


def table(report: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| language | queries | teacher | bundle | kept | standard error | tokens a word | unknown |"]
    lines.append("| --- | " + " | ".join(["---:"] * 7) + " |")
    for name, row in report["languages"].items():
        cells = [f"{row['teacher']:.3f}", f"{row['bundle']:.3f}", f"{row['kept']:.1%}", f"{row['standard_error']:.3f}"]
        cells += [f"{row['tokens_per_word']:.2f}", f"{row['unknown_words']:.2%}"]
        lines.append(f"| {name} | {row['queries']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Join sets, or measure a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    joining = commands.add_parser("join", help="one set in BEIR layout of a folder of such sets")
    joining.add_argument("folder", type=Path)
    joining.add_argument("out", type=Path)
    asking = commands.add_parser("xquad", help="one set in BEIR layout of XQuAD's files")
    asking.add_argument("folder", type=Path)
    asking.add_argument("out", type=Path)
    measuring = commands.add_parser("measure", help="a finished run, language by language")
    measuring.add_argument("run", type=Path)
    measuring.add_argument("--set", type=Path, dest="other", help="another joined set, with judgements of `test`")
    measuring.add_argument("--teacher", default="", help="folder of the teacher that encodes the other set")
    measuring.add_argument("--out", type=Path, help="JSON file of the figures")
    arguments = parser.parse_args()
    if arguments.command != "measure":
        make = join if arguments.command == "join" else xquad
        write_retrieval_set(arguments.out, make(arguments.folder))
        return
    report = measure(arguments.run, arguments.other, arguments.teacher)
    if arguments.out:
        write_json(arguments.out, report)
    print(json.dumps(report["bytes"]), table(report), sep="\n")


if __name__ == "__main__":
    main()
