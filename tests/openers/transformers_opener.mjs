// Open FOLDER with transformers.js: FOLDER DTYPE; texts as JSON on standard input. Out: the vectors of the pipeline
// with mean pooling, those of the raw model's sentence_embedding, and the token ids that each of the two ran on.
// The pipeline cuts a long text at model_max_length tokens and loses [SEP]; the raw way keeps it.
import { readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { AutoModel, AutoTokenizer, Tensor, env, pipeline } from "@huggingface/transformers";

const [folder, dtype] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = `${dirname(resolve(folder))}/`;
const name = basename(resolve(folder));
const texts = JSON.parse(readFileSync(0, "utf8"));
const options = { dtype, session_options: { intraOpNumThreads: 1 } };

const extract = await pipeline("feature-extraction", name, options);
const tokenizer = await AutoTokenizer.from_pretrained(name);
const model = await AutoModel.from_pretrained(name, options);
const limit = tokenizer.model_max_length;
const found = { pipeline: [], pipeline_ids: [], raw: [], raw_ids: [] };
const row = (ids) => new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]);
for (const text of texts) {
  found.pipeline.push((await extract(text, { pooling: "mean", normalize: true })).tolist()[0]);
  found.pipeline_ids.push((await tokenizer(text, { truncation: true })).input_ids.tolist()[0].map(Number));
  let ids = (await tokenizer(text)).input_ids.tolist()[0].map(Number);
  if (ids.length > limit) ids = [...ids.slice(0, limit - 1), ids.at(-1)];
  found.raw_ids.push(ids);
  const outputs = await model({ input_ids: row(ids), attention_mask: row(ids.map(() => 1)) });
  found.raw.push(outputs.sentence_embedding.tolist()[0]);
}
process.stdout.write(JSON.stringify(found));
