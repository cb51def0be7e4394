// Token ids by the tokenizer of the demonstration page: TOKENIZER MAX_LENGTH; texts as JSON in, ids out.
import { readFileSync } from "node:fs";
import { makeTokenizer } from "../../export/page/tokenizer.js";

const [path, maxLength] = process.argv.slice(2);
const encode = makeTokenizer(JSON.parse(readFileSync(path, "utf8")), Number(maxLength));
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(encode)));
