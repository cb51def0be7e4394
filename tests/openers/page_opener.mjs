// Open a page of `pocketrank demo` in a browser without network: PAGE [SCREENSHOT]; {texts, query} as JSON on standard
// input. Out: the page's vectors and ids, what a person who types the query sees, its own check, and every request.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page, screenshot] = process.argv.slice(2);
const { texts, query } = JSON.parse(readFileSync(0, "utf8"));
const profile = mkdtempSync(join(tmpdir(), "pocketrank-browser-"));
const quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"];
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-sync", ...quiet],
  offline: true,
  viewport: { width: 1000, height: 1100 },
});
try {
  const tab = browser.pages()[0] ?? (await browser.newPage());
  const problems = [];
  const requests = [];
  tab.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  tab.on("pageerror", (error) => problems.push(String(error)));
  tab.on("request", (request) => requests.push(request.url().slice(0, 60)));
  await tab.goto(pathToFileURL(page).href);
  const found = await tab.evaluate(async (asked) => {
    const ranker = await globalThis.pocketrank;
    const vectors = [];
    for (const text of asked) vectors.push(Array.from(await ranker.encode(text)));
    return { vectors, ids: asked.map(ranker.tokenize) };
  }, texts);

  // From here on with the keyboard alone.
  await tab.keyboard.press("Escape");
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("/");
  await tab.keyboard.type(query, { delay: 20 });
  await tab.waitForFunction(() => document.querySelector("#status").textContent.includes("best of"));
  await tab.waitForTimeout(500);
  const title = "#results .title span:first-child";
  const titles = await tab.locator(title).allTextContents();
  await tab.keyboard.press("ArrowDown");
  await tab.keyboard.press("ArrowDown");
  await tab.keyboard.press("ArrowUp");
  await tab.keyboard.press("Enter");
  const opened = await tab.locator("#results li:first-child details[open] .text").textContent();
  if (screenshot) {
    await tab.screenshot({ path: `${screenshot}.png`, fullPage: true });
    await tab.emulateMedia({ colorScheme: "dark" });
    await tab.setViewportSize({ width: 400, height: 800 });
    await tab.screenshot({ path: `${screenshot}-dark.png` });
  }
  await tab.locator("#check").click();
  await tab.waitForFunction(() => /:/.test(document.querySelector("#checked").textContent));
  const [checked, status] = await Promise.all(["#checked", "#status"].map((name) => tab.locator(name).textContent()));
  await tab.keyboard.press("Escape");
  await tab.waitForFunction(() => !document.querySelector("#results").children.length);
  process.stdout.write(
    JSON.stringify({ ...found, titles, opened, checked, status, problems, requests, browser: browser.browser()?.version() ?? "" }),
  );
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
