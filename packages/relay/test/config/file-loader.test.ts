/** Loading again while a relay runs. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FileLoader, loadStamped } from "../../src/config/file-loader.ts";

/** The longest time that the event loop did nothing else, in milliseconds. */
async function longestStall(work: () => Promise<unknown>): Promise<number> {
  let [longest, last, isOver] = [0, performance.now(), false];
  const look = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (!isOver) setImmediate(look);
  };
  setImmediate(look);
  await work();
  isOver = true;
  await new Promise((resolve) => setTimeout(resolve, 20));
  return longest;
}

test("a large file is read beside the event loop, and says the same", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "millrace-loader-"));
  const model = (at: number): string =>
    `  m${at}: { upstreams: [{ upstream: a, model: m }], price: { input: "1", cached_input: same, output: "2" } }\n`;
  const models = Array.from({ length: 1_500 }, (_, at) => model(at)).join("");
  writeFileSync(
    join(cwd, "c.yaml"),
    `upstreams:\n  a: { provider: openai-compatible, base_url: "http://127.0.0.1:9/v1" }\nmodels:\n${models}`,
  );
  const request = { file: "c.yaml", env: { NAME: "value" }, cwd };
  const loader = new FileLoader(request);
  const first = await loader.load();
  expect(first.ok && first.config.models.size).toBe(1_500);
  const here = await longestStall(() => loadStamped(request));
  const second: unknown[] = [];
  const beside = await longestStall(async () => second.push(await loader.load()));
  expect(second).toEqual([first]);
  expect(beside).toBeLessThan(here / 2);
  rmSync(cwd, { recursive: true });
});
