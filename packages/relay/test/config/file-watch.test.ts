/** However a file of the configuration is replaced, it is taken whole, once, and soon. */
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test as base, vi } from "vitest";
import { FileLoader } from "../../src/config/file-loader.ts";
import { FileWatch } from "../../src/config/file-watch.ts";

interface Watched {
  readonly directory: string;
  /** Models of each configuration that was taken, or the number of its mistakes. */
  readonly taken: (string | number)[];
  write(name: string, text: string): void;
  /** Begins to watch what `file` and its neighbours say. */
  begin(env?: Record<string, string>): Promise<void>;
}

const test = base.extend<{ watched: Watched }>({
  watched: async ({ task: _task }, use) => {
    const directory = mkdtempSync(join(tmpdir(), "millrace-watch-"));
    const taken: (string | number)[] = [];
    const watches: FileWatch[] = [];
    const begin = async (env: Record<string, string> = {}): Promise<void> => {
      const loader = new FileLoader({ file: "config.yaml", env, cwd: directory });
      await loader.load();
      const onChange = async (): Promise<boolean> => {
        const loaded = await loader.load();
        taken.push(loaded.ok ? [...loaded.config.models.keys()].join() : loaded.mistakes.length);
        return true;
      };
      watches.push(FileWatch.begin({ stamps: () => loader.stamps, onChange }));
    };
    await use({ directory, taken, begin, write: (name, text) => writeFileSync(join(directory, name), text) });
    for (const watch of watches) watch.close();
    rmSync(directory, { recursive: true });
  },
});

function configOf(models: readonly string[], more = ""): string {
  const lines = models.map((model) => `  ${model}: { upstreams: [{ upstream: a, model: m }] }\n`);
  return `upstreams:\n  a: { provider: openai-compatible, base_url: "http://127.0.0.1:9/v1" }\n${more}models:\n${lines.join("")}`;
}

function becomes(taken: readonly unknown[], wanted: readonly unknown[]): Promise<void> {
  return vi.waitFor(() => expect(taken).toEqual(wanted), { timeout: 5_000, interval: 20 });
}

test("a file that is written in place is taken, and once", async ({ watched }) => {
  watched.write("config.yaml", configOf(["one"]));
  await watched.begin();
  watched.write("config.yaml", configOf(["two"]));
  await becomes(watched.taken, ["two"]);
  watched.write("config.yaml", configOf(["three"]));
  await becomes(watched.taken, ["two", "three"]);
});

test("a file that takes another's place by a rename is taken", async ({ watched: { directory, ...watched } }) => {
  watched.write("config.yaml", configOf(["one"]));
  await watched.begin();
  watched.write("config.new", configOf(["two"]));
  renameSync(join(directory, "config.new"), join(directory, "config.yaml"));
  await becomes(watched.taken, ["two"]);
});

test("a swap of the link to the directory that a file is in is seen, as Kubernetes makes it", async ({
  watched: { directory, ...watched },
}) => {
  for (const [version, model] of [
    ["..2026_1", "one"],
    ["..2026_2", "two"],
  ] as const) {
    mkdirSync(join(directory, version));
    watched.write(join(version, "config.yaml"), configOf([model]));
  }
  symlinkSync("..2026_1", join(directory, "..data"));
  symlinkSync("..data/config.yaml", join(directory, "config.yaml"));
  await watched.begin();
  symlinkSync("..2026_2", join(directory, "..data_tmp"));
  renameSync(join(directory, "..data_tmp"), join(directory, "..data"));
  await becomes(watched.taken, ["two"]);
});

test("a file that is written in parts is taken whole, though its beginning would do", async ({ watched: { directory, ...watched } }) => {
  watched.write("config.yaml", configOf(["one"]));
  await watched.begin();
  const whole = configOf(["two", "three", "four"]);
  const cut = whole.indexOf("  three");
  watched.write("config.yaml", whole.slice(0, cut));
  await sleep(150);
  appendFileSync(join(directory, "config.yaml"), whole.slice(cut));
  await becomes(watched.taken, ["two,three,four"]);
});

test("a bad file is told with all its mistakes, and the good one that follows is taken", async ({ watched }) => {
  watched.write("config.yaml", configOf(["one"]));
  await watched.begin();
  watched.write("config.yaml", "listen: nowhere\nmodles: {}\nlog: { level: loud }\n");
  await becomes(watched.taken, [3]);
  watched.write("config.yaml", configOf(["two"]));
  await becomes(watched.taken, [3, "two"]);
});

test("`.env` is read again for what the file refers to, also where there was none", async ({ watched }) => {
  watched.write("config.yaml", configOf(["one"], '  b: { provider: openai-compatible, base_url: "${WHERE}" }\n'));
  await watched.begin();
  watched.write(".env", "WHERE=http://127.0.0.1:9/v1\n");
  await becomes(watched.taken, ["one"]);
  watched.write(".env", "WHERE=nowhere\n");
  await becomes(watched.taken, ["one", 1]);
});

test("a price list that the file names is watched like the file", async ({ watched }) => {
  const list = (price: string): string => JSON.stringify({ m: { litellm_provider: "openai", mode: "chat", input_cost_per_token: price } });
  watched.write("prices.json", list("1e-6"));
  watched.write("config.yaml", `${configOf(["one"])}prices: { import: [prices.json] }\n`);
  await watched.begin();
  watched.write("prices.json", "{");
  await vi.waitFor(() => expect(watched.taken).toHaveLength(1), { timeout: 5_000 });
});
