// The bundle's tokenizer.json in small: BERT normalizer and pre-tokenizer, then WordPiece or Unigram. The tests hold
// its ids to those of the `tokenizers` library on every code point of Unicode and on hostile texts.

import { CHINESE, DROPPED, MARK, PUNCTUATION, WHITE } from "./characters.js";

const MARKS = new RegExp(MARK, "gu");

/** Return `encode(text) -> ids` for a parsed tokenizer.json; throw when it asks for a part that is not written here. */
export function makeTokenizer(content, maxLength) {
  const { model, normalizer, pre_tokenizer: splitter, added_tokens: added = [] } = content;
  const special = new Map(added.map((token) => [token.content, token.id]));
  const marked = splitter?.type === "Sequence" ? splitter.pretokenizers : [splitter];
  const known =
    normalizer?.type === "BertNormalizer" &&
    marked[0]?.type === "BertPreTokenizer" &&
    marked.slice(1).every((part) => part.type === "Metaspace") &&
    added.every((token) => !token.lstrip && !token.rstrip && !token.single_word && !token.normalized);
  if (!known) throw new Error("tokenizer.json has parts that this page does not know");
  const first = special.get("[CLS]");
  const last = special.get("[SEP]");
  const makers = { WordPiece: makeWordPiece, Unigram: makeUnigram };
  const piecesOf = makers[model.type](model, marked[1]);
  const escaped = [...special.keys()].map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  const specials = new RegExp(`(${escaped.join("|")})`, "u");

  return (text) => {
    const characters = Array.from(text).slice(0, maxLength * 128);
    const readable = characters.join("").replace(/\p{Cs}/gu, "\ufffd");
    const ids = [];
    for (const part of readable.split(specials)) {
      if (special.has(part)) ids.push(special.get(part));
      else for (const word of splitWords(normalize(part, normalizer))) ids.push(...piecesOf(word));
    }
    return [first, ...ids.slice(0, maxLength - 2), last];
  };
}

function normalize(text, settings) {
  let clean = text;
  if (settings.clean_text) {
    const kept = Array.from(text).map((character) => {
      if (character === "\t" || character === "\n" || character === "\r") return " ";
      if (DROPPED.test(character)) return "";
      return WHITE.test(character) ? " " : character;
    });
    clean = kept.join("");
  }
  if (settings.handle_chinese_chars) {
    clean = Array.from(clean, (character) => (CHINESE.test(character) ? ` ${character} ` : character)).join("");
  }
  if (settings.strip_accents ?? settings.lowercase) clean = clean.normalize("NFD").replace(MARKS, "");
  // Character by character: on a whole word JavaScript would pick the final form of a Greek sigma.
  return settings.lowercase ? Array.from(clean, (character) => character.toLowerCase()).join("") : clean;
}

function splitWords(text) {
  const words = [];
  let word = "";
  const finish = () => {
    if (word) words.push(word);
    word = "";
  };
  for (const character of text) {
    if (WHITE.test(character)) finish();
    else if (PUNCTUATION.test(character)) {
      finish();
      words.push(character);
    } else word += character;
  }
  finish();
  return words;
}

function makeWordPiece(model) {
  const vocabulary = new Map(Object.entries(model.vocab));
  const unknown = vocabulary.get(model.unk_token);
  const prefix = model.continuing_subword_prefix;
  return (word) => {
    const characters = Array.from(word);
    if (characters.length > model.max_input_chars_per_word) return [unknown];
    const ids = [];
    let start = 0;
    while (start < characters.length) {
      let end = characters.length;
      let id;
      for (; end > start && id === undefined; end -= 1) {
        const piece = characters.slice(start, end).join("");
        id = vocabulary.get(start ? prefix + piece : piece);
      }
      if (id === undefined) return [unknown];
      ids.push(id);
      start = end + 1;
    }
    return ids;
  };
}

function makeUnigram(model, metaspace) {
  const pieces = new Map(model.vocab.map(([piece, score], id) => [piece, { id, score }]));
  const longest = Math.max(...model.vocab.map(([piece]) => Array.from(piece).length));
  const unknownScore = Math.min(...model.vocab.map(([, score]) => score)) - 10;
  const mark = metaspace ? metaspace.replacement : "";
  return (word) => {
    const characters = Array.from(word.startsWith(mark) ? word : mark + word);
    const best = [{ score: 0 }];
    for (let start = 0; start < characters.length; start += 1) {
      let alone = false;
      const offer = (end, score, id) => {
        const total = best[start].score + score;
        if (!best[end] || total > best[end].score) best[end] = { score: total, start, id };
      };
      for (let end = start + 1; end <= Math.min(characters.length, start + longest); end += 1) {
        const found = pieces.get(characters.slice(start, end).join(""));
        if (!found) continue;
        offer(end, found.score, found.id);
        alone ||= end === start + 1;
      }
      if (!alone) offer(start + 1, unknownScore, model.unk_id);
    }
    const ids = [];
    for (let end = characters.length; end > 0; end = best[end].start) {
      // Neighbouring unknown characters are one unknown token.
      if (best[end].id !== model.unk_id || ids.at(-1) !== model.unk_id) ids.push(best[end].id);
    }
    return ids.reverse();
  };
}
