// Opens what the page carries, and searches. Everything that tests ask for hangs on `globalThis.pocketrank`.
import { makeTokenizer } from "./tokenizer.js";

const RESULTS = 10;
const element = (name) => document.getElementById(name);
const [form, query, status, results, examples] = ["form", "query", "status", "results", "examples"].map(element);

async function unpack(name) {
  const holder = element(`data-${name}`);
  const packed = Uint8Array.from(atob(holder.textContent.trim()), (character) => character.charCodeAt(0));
  holder.remove(); // the text is twice the size of what it holds
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
const unpackJson = async (name) => JSON.parse(new TextDecoder().decode(await unpack(name)));

async function openRanker() {
  const facts = await unpackJson("facts");
  const runtime = URL.createObjectURL(new Blob([await unpack("runtime")], { type: "text/javascript" }));
  const ort = await import(runtime);
  ort.env.wasm.numThreads = 1; // more would need headers that only a server can send
  ort.env.wasm.wasmBinary = await unpack("wasm");
  const session = await ort.InferenceSession.create(await unpack("model"), { executionProviders: ["wasm"] });
  const tokenize = makeTokenizer(await unpackJson("tokenizer"), facts.max_length);
  const documents = await unpackJson("documents");
  const codes = new Int8Array(await unpack("vectors"));
  const scales = new Float32Array(await unpack("scales"));

  const encodeIds = async (ids) => {
    const row = (values) => new ort.Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const outputs = await session.run({ input_ids: row(ids), attention_mask: row(ids.map(() => 1)) });
    return outputs.sentence_embedding.data;
  };
  const encode = (text) => encodeIds(tokenize(text));

  async function search(text, count = RESULTS) {
    const started = performance.now();
    const vector = await encode(facts.query_prompt + text);
    const encoded = performance.now();
    const scores = new Float32Array(documents.length);
    for (let row = 0, place = 0; row < scores.length; row += 1) {
      let sum = 0;
      for (let column = 0; column < vector.length; column += 1, place += 1) sum += vector[column] * codes[place];
      scores[row] = sum * scales[row];
    }
    const order = Array.from(scores.keys()).sort((one, two) => scores[two] - scores[one] || one - two);
    const hits = order.slice(0, count).map((row) => ({ score: scores[row], ...documents[row] }));
    return { hits, encode: encoded - started, search: performance.now() - encoded, unknown: tokenize.unknownShare(text) };
  }

  async function check() {
    const golden = await unpackedGolden;
    let worst = 0;
    for (const [number, text] of golden.texts.entries()) {
      const ids = tokenize(text);
      if (ids.join() !== golden.ids[number].join()) throw new Error(`text ${number} is read as other tokens`);
      const vector = await encodeIds(ids);
      for (const [column, value] of golden.vectors[number].entries()) {
        worst = Math.max(worst, Math.abs(value - vector[column]));
      }
    }
    return { texts: golden.texts.length, difference: worst, tolerance: golden.tolerance };
  }
  const unpackedGolden = unpackJson("golden");
  return { facts, tokenize, encode, search, check, size: documents.length };
}

function show(hits) {
  const items = hits.map(({ title, text, score }) => {
    const item = document.createElement("li");
    const details = document.createElement("details");
    const add = (parent, tag, name, content) => {
      const made = document.createElement(tag);
      made.className = name;
      made.textContent = content;
      parent.append(made);
      return made;
    };
    const summary = details.appendChild(document.createElement("summary"));
    const heading = add(summary, "div", "title", "");
    add(heading, "span", "", title || text.slice(0, 80));
    const shown = add(heading, "span", "score", score.toFixed(2));
    shown.style.setProperty("--share", Math.max(0, score).toFixed(3));
    shown.title = "similarity to the question";
    add(summary, "div", "snippet", title ? text : text.slice(80));
    add(details, "p", "text", text);
    item.append(details);
    return item;
  });
  results.replaceChildren(...items);
}

/** Walk with the arrow keys between the field and the results. */
function walk(event) {
  const stops = [query, ...results.querySelectorAll("summary")];
  const place = stops.indexOf(document.activeElement);
  if (event.key === "/" && document.activeElement !== query) {
    query.focus();
    query.select();
  } else if (event.key === "Escape") {
    query.value = "";
    query.focus();
    form.requestSubmit();
  } else if (event.key === "ArrowDown" && place >= 0) stops[Math.min(place + 1, stops.length - 1)].focus();
  else if (event.key === "ArrowUp" && place > 0) stops[place - 1].focus();
  else return;
  event.preventDefault();
}

function connect(ranker) {
  let latest = 0;
  const warning = (share) =>
    share > ranker.facts.warning_share
      ? ` Warning: ${Math.round(100 * share)} % of the words are unknown to this ranker, which cannot tell them apart.`
      : "";
  const ready = `Ready: ${ranker.size.toLocaleString("en")} documents.`;
  async function answer() {
    const text = query.value.trim();
    const turn = (latest += 1);
    examples.hidden = Boolean(text) || !examples.children.length;
    if (!text) {
      show([]);
      status.textContent = ready;
      return;
    }
    const found = await ranker.search(text);
    if (turn !== latest) return; // a later question was asked meanwhile
    show(found.hits);
    const [encode, search] = [found.encode, found.search].map((time) => time.toFixed(1));
    status.textContent = `${found.hits.length} best of ${ranker.size.toLocaleString("en")}: question read in ${encode} ms, documents searched in ${search} ms.${warning(found.unknown)}`;
  }
  // A run of the session must end before the next one starts.
  let queue = Promise.resolve();
  const enqueue = () => (queue = queue.then(answer, answer).catch(fail));
  let timer;
  query.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(enqueue, 60);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enqueue();
  });
  document.addEventListener("keydown", walk);
  for (const text of ranker.facts.examples) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => {
      query.value = text;
      query.focus();
      enqueue();
    });
    examples.append(button);
  }
  element("check").addEventListener("click", () => {
    element("checked").textContent = "replaying …";
    queue = queue.then(ranker.check).then(({ texts, difference, tolerance }) => {
      const verdict = difference <= tolerance ? "as when it was made" : "NOT as when it was made";
      element("checked").textContent =
        `${verdict}: ${texts} texts, largest difference ${difference.toExponential(1)} of ${tolerance} allowed.`;
    }).catch((error) => (element("checked").textContent = `failed: ${error.message}`));
  });
  element("check").disabled = query.disabled = false;
  query.focus();
  enqueue();
}

function fail(error) {
  status.textContent = `This browser cannot run the ranker (${error.message}). A current Chrome, Edge, Firefox or Safari can.`;
}

globalThis.pocketrank = openRanker();
globalThis.pocketrank.then(connect).catch(fail);
