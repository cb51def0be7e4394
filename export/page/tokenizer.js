// The bundle's tokenizer.json in small: NFKC, folds, BERT normalizer and pre-tokenizer, symbols, then WordPiece or
// Unigram. The tests hold its ids to those of the `tokenizers` library on every code point of Unicode and on hostile texts.

import { CHINESE, COMPATIBLE, DROPPED, MARK, PUNCTUATION, SYMBOL, WHITE } from "./characters.js";

const MARKS = new RegExp(MARK, "gu");

const NORMALIZERS = {
  NFKC: () => compose,
  Replace: ({ pattern, content }) => (text) => text.replaceAll(pattern.String, () => content),
  BertNormalizer: (settings) => (text) => normalize(text, settings),
};

/**
 * Return `encode(text) -> ids` for a parsed tokenizer.json; throw when it asks for a part that is not written here.
 * `encode.unknownShare(text)` is the share of the text's words that the vocabulary does not know.
 */
export function makeTokenizer(content, maxLength) {
  const { model, normalizer, pre_tokenizer: splitter, added_tokens: added = [] } = content;
  const special = new Map(added.map((token) => [token.content, token.id]));
  const steps = normalizer?.type === "Sequence" ? normalizer.normalizers : [normalizer];
  const [bert, ...further] = splitter?.type === "Sequence" ? splitter.pretokenizers : [splitter];
  const [symbols, metaspace] = ["Split", "Metaspace"].map((type) => further.find((part) => part.type === type));
  const known =
    steps.every((step) => step && Object.hasOwn(NORMALIZERS, step.type)) &&
    bert?.type === "BertPreTokenizer" &&
    further.every((part) => part === symbols || part === metaspace) &&
    (!symbols || (symbols.pattern.Regex === "\\p{S}" && symbols.behavior === "Isolated")) &&
    added.every((token) => !token.lstrip && !token.rstrip && !token.single_word && !token.normalized);
  if (!known) throw new Error("tokenizer.json has parts that this page does not know");
  const normalizers = steps.map((step) => NORMALIZERS[step.type](step));
  const alone = (character) => PUNCTUATION.test(character) || (symbols && SYMBOL.test(character));
  const first = special.get("[CLS]");
  const last = special.get("[SEP]");
  const makers = { WordPiece: makeWordPiece, Unigram: makeUnigram };
  const piecesOf = makers[model.type](model, metaspace);
  const unknown = special.get("[UNK]");
  const escaped = [...special.keys()].map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  const specials = new RegExp(`(${escaped.join("|")})`, "u");

  /** Return a list of ids for every word and special token of the text. */
  const cut = (text) => {
    const characters = Array.from(text).slice(0, maxLength * 128);
    const readable = characters.join("").replace(/\p{Cs}/gu, "\ufffd");
    return readable.split(specials).flatMap((part) => {
      if (special.has(part)) return [[special.get(part)]];
      const clean = normalizers.reduce((made, step) => step(made), part);
      return splitWords(clean, alone).map(piecesOf);
    });
  };
  const encode = (text) => [first, ...cut(text).flat().slice(0, maxLength - 2), last];
  encode.unknownShare = (text) => {
    const words = cut(text);
    return words.filter((ids) => ids.includes(unknown)).length / Math.max(words.length, 1);
  };
  return encode;
}

/** Apply NFKC; what the library's older Unicode leaves alone stays as it is. */
function compose(text) {
  const later = (character) => character.normalize("NFKC") !== character && !COMPATIBLE.test(character);
  let made = "";
  let run = "";
  for (const character of text) {
    if (later(character)) {
      made += run.normalize("NFKC") + character;
      run = "";
    } else run += character;
  }
  return made + run.normalize("NFKC");
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

function splitWords(text, alone) {
  const words = [];
  let word = "";
  const finish = () => {
    if (word) words.push(word);
    word = "";
  };
  for (const character of text) {
    if (WHITE.test(character)) finish();
    else if (alone(character)) {
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
