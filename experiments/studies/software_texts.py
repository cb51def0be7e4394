"""Texts about software in ten languages, from Debian's packages: what a multilingual student may be trained on too.

The teacher labels them, so they need no judgements. They come from packages of translated manuals, and from the lists
of package descriptions, which are fetched like this (a folder of the caller's own, nothing is installed):

    mkdir -p lists/partial packages && cd packages
    apt-get -o Dir::State::Lists=$PWD/../lists -o Acquire::Languages=de,es,fr,it,ja,ko,pt_BR,ru,zh_CN update
    apt-get -o Dir::State::Lists=$PWD/../lists download gnome-user-docs \
      libreoffice-help-{de,es,fr,hi,it,ja,ko,pt-br,ru,zh-cn} manpages-{de,es,fr,it,ja,pt-br,ru,zh}
    cd .. && python -m experiments.studies.software_texts packages lists --out software.txt

Licences are in the packages (MPL 2.0, CC BY-SA, GPL and those of the manual pages): what is trained on them is for
measuring, not for release. One sentence a line. Sentences that stand in more than one language are not translated, and
are left out; so are repetitions. Each language gives up to `--each` sentences, drawn evenly from all that it has.
"""

import argparse
import gzip
import html
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pocketrank.runtime.errors import UnavailableError
from pocketrank.runtime.files import write_bytes

# The languages of data/tldr-multilingual, by what packages call them.
LANGUAGES = {"ar", "de", "es", "fr", "hi", "it", "ja", "ko", "pt-br", "ru", "zh-cn"}
LONGEST, SHORTEST = 240, 12  # characters and bytes of a sentence
LETTERS = 0.6  # share of letters and spaces in a sentence, at least: the rest is code, options, tables

_PARAGRAPH = re.compile(r"<(p|h1|h2|h3|title)\b[^>]*>(.*?)</\1>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|(?<=\u0964)\s*")  # ends of sentences
_ROFF = re.compile(r"\\f[BIPR]|\\f\([A-Z]{2}|\\[&|^/]|\\s[-+]?\d")


def language_of(name: str) -> str | None:
    """Return the language that `name` (of a folder, or of a list's ending) stands for, if it is one of ours."""
    name = name.lower().replace("_", "-").replace("%5f", "-")
    name = {"zh": "zh-cn", "pt": ""}.get(name, name)
    return name if name in LANGUAGES else None


def marked_up(text: str) -> Iterator[str]:
    """Yield the paragraphs and headings of a page in HTML or Mallard."""
    for _, inner in _PARAGRAPH.findall(text):
        yield html.unescape(_TAG.sub("", inner))


def manual_page(text: str) -> Iterator[str]:
    """Yield the paragraphs of a manual page: what stands between two requests, without fonts."""
    lines: list[str] = []
    for line in [*text.splitlines(), "."]:
        if line.startswith((".", "'")):
            yield " ".join(lines)
            lines = []
        else:
            lines.append(_ROFF.sub("", line).replace(r"\-", "-").replace(r"\e", "\\"))


def package_texts(package: Path) -> Iterator[tuple[str, str]]:
    """Yield (language, paragraph) of the pages in a package's file."""
    with tempfile.TemporaryDirectory() as folder:
        run("dpkg-deb", "-x", str(package), folder)
        for path in sorted(Path(folder, "usr/share").rglob("*")):
            languages = [found for part in path.parts if (found := language_of(part))]
            if not languages or not path.is_file() or path.is_symlink():
                continue
            if path.suffix in {".html", ".page"}:
                paragraphs = marked_up(path.read_text(encoding="utf-8", errors="replace"))
            elif path.suffix == ".gz" and "man" in path.parts:
                paragraphs = manual_page(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))
            else:
                continue
            for paragraph in paragraphs:
                yield languages[0], paragraph


def described_packages(listing: Path) -> Iterator[tuple[str, str]]:
    """Yield (language, description) of a list `…Translation-XX`: short descriptions, and paragraphs of long ones."""
    language = language_of(listing.name.partition("Translation-")[2].partition(".")[0])
    if language is None:
        return
    text = run("/usr/lib/apt/apt-helper", "cat-file", str(listing))
    for entry in text.split("\n\n"):
        _, _, description = entry.partition("\nDescription-")
        first, _, rest = description.partition(": ")[2].partition("\n")
        yield language, first
        for paragraph in rest.split("\n .\n"):
            yield language, " ".join(paragraph.split())


def sentences(paragraph: str) -> Iterator[str]:
    """Yield the sentences of a paragraph that are prose."""
    for sentence in _END.split(" ".join(paragraph.split())):
        plain = sum(letter.isalpha() or letter.isspace() or ord(letter) > 0x900 for letter in sentence)
        if len(sentence.encode()) >= SHORTEST and len(sentence) <= LONGEST and plain >= LETTERS * len(sentence):
            yield sentence


def run(*command: str) -> str:
    """Return what `command` prints; raise `UnavailableError` where Debian's tools are not there."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError(f"{command[0]} failed ({error}); run this on Debian or Ubuntu") from None


def drawn(found: dict[str, dict[str, None]], each: int) -> dict[str, list[str]]:
    """Return up to `each` sentences a language, without those of several languages."""
    everywhere = Counter(sentence for own in found.values() for sentence in own)
    chosen = {}
    for language, own in sorted(found.items()):
        alone = [sentence for sentence in own if everywhere[sentence] == 1]
        count = min(each, len(alone))
        chosen[language] = [alone[place * len(alone) // count] for place in range(count)]
    return chosen


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="folder of the packages' files")
    parser.add_argument("lists", type=Path, help="folder of the lists of packages")
    parser.add_argument("--each", type=int, default=25_000, help="sentences of a language, at most")
    parser.add_argument("--out", type=Path, required=True, help="file of one sentence a line")
    arguments = parser.parse_args()
    found: dict[str, dict[str, None]] = {}
    sources = [package_texts(path) for path in sorted(arguments.packages.glob("*.deb"))]
    sources += [described_packages(path) for path in sorted(arguments.lists.glob("*Translation-*"))]
    for source in sources:
        for language, paragraph in source:
            found.setdefault(language, {}).update(dict.fromkeys(sentences(paragraph)))
    chosen = drawn(found, arguments.each)
    for language, texts in chosen.items():
        print(f"{language}: {len(texts):,} of {len(found[language]):,} sentences")
    write_bytes(arguments.out, "".join(f"{text}\n" for texts in chosen.values() for text in texts).encode())


if __name__ == "__main__":
    main()
