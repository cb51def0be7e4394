"""One student for several languages: join their retrieval sets, and measure a bundle language by language.

`join` makes one set in BEIR layout of a folder that holds one for each language; ids get the language's name in front.
`measure` ranks each language's test queries among the documents of that language alone, with the bundle and with the
teacher whose vectors the run kept, and counts what texts become: tokens a word, unknown words.

Examples:
    python -m experiments.studies.languages join data/tldr-multilingual data/tldr-multilingual-joined
    pocketrank run recipes/tldr-multilingual.toml --until bundle
    python -m experiments.studies.languages measure runs/tldr-multilingual --out experiments/reports/languages.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set, write_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, scored_rows
from pocketrank.runtime.encoder import Encoder
from pocketrank.runtime.files import read_json, write_json
from pocketrank.runtime.manifest import read_manifest
from tokenizers import Tokenizer


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


def measure(run: Path) -> dict[str, Any]:
    """Return the figures of a run that has finished its bundle."""
    stages = run / "stages"
    bundle = stages / "bundle" / "bundle"
    whole = read_retrieval_set(stages / "corpus")
    encoder, manifest = Encoder.open(bundle), read_manifest(bundle)
    tokenizer = Tokenizer.from_file(str(stages / "vocabulary" / "tokenizer.json"))
    tokenizer.no_truncation()
    student = [encoder.encode(list(texts.values())) for texts in (whole.queries, whole.documents)]
    teacher = [np.load(stages / "teacher" / f"{name}.npy") for name in ("queries", "documents")]
    languages = {}
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
        "teacher": read_json(stages / "teacher" / "teacher.json")["id"],
        "vocabulary": tokenizer.get_vocab_size(),
        "bytes": {name: (bundle / file).stat().st_size for name, file in files.items()},
        "languages": languages,
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
    measuring = commands.add_parser("measure", help="a finished run, language by language")
    measuring.add_argument("run", type=Path)
    measuring.add_argument("--out", type=Path, help="JSON file of the figures")
    arguments = parser.parse_args()
    if arguments.command == "join":
        write_retrieval_set(arguments.out, join(arguments.folder))
        return
    report = measure(arguments.run)
    if arguments.out:
        write_json(arguments.out, report)
    print(json.dumps(report["bytes"]), table(report), sep="\n")


if __name__ == "__main__":
    main()
