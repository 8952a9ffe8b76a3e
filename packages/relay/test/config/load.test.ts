import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Config, ConfigResult } from "../../src/config/config.ts";
import { formatMistakes, loadConfig, type LoadRequest } from "../../src/config/load.ts";
import { KEY, routesOf } from "./routes.ts";

let parent: string;
let cwd: string;

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "millrace-config-"));
});

beforeEach(async () => {
  cwd = await mkdtemp(join(parent, "run-"));
});

afterAll(async () => {
  await rm(parent, { recursive: true });
});

function load(request: Partial<LoadRequest> = {}): Promise<ConfigResult> {
  return loadConfig({ env: {}, cwd, ...request });
}

async function loaded(request: Partial<LoadRequest> = {}): Promise<Config> {
  const result = await load(request);
  if (!result.ok) throw new Error(formatMistakes(result.mistakes));
  return result.config;
}

async function refused(request: Partial<LoadRequest> = {}): Promise<string> {
  const result = await load(request);
  return result.ok ? "" : formatMistakes(result.mistakes);
}

test("nothing at all is the demo", async () => {
  expect(await loaded()).toMatchObject({ isDemo: true, listen: { host: "127.0.0.1", port: 8787 } });
});

test("flags win over the environment, that over .env, that over the file, that over the defaults", async () => {
  await writeFile(
    join(cwd, "m.yaml"),
    "listen: 10.0.0.1:1\ndata: file-data\nlog: { level: error, format: text }\nshutdown: { drain: 1s }\n",
  );
  await writeFile(join(cwd, ".env"), "MILLRACE_PORT=2\nMILLRACE_LOG_LEVEL=debug\nMILLRACE_DATA=dotenv-data\n");
  const config = await loaded({
    file: "m.yaml",
    host: "[::1]",
    env: { MILLRACE_LOG_LEVEL: "trace", MILLRACE_HOST: "10.0.0.2" },
  });
  expect(config).toMatchObject({
    listen: { host: "::1", port: 2 },
    dataDir: "dotenv-data",
    log: { level: "trace", format: "text" },
    shutdown: { delayMs: 0, drainMs: 1000 },
    sizes: { requestBytesMax: 16_777_216 },
  });
  expect((await loaded({ port: 0, data: "here" })).database).toEqual({ kind: "sqlite", path: "here/millrace.db" });
});

test("a .env beside the process is enough, and an empty variable of the real environment still wins", async () => {
  await writeFile(join(cwd, ".env"), `\ufeffexport DEEPSEEK_API_KEY="${KEY}" # mine\r\n`);
  expect(routesOf(await loaded(), "deepseek-chat")).toEqual(["deepseek:deepseek-chat"]);
  expect((await loaded({ env: { DEEPSEEK_API_KEY: "" } })).isDemo).toBe(true);
});

test("mistakes of .env, environment, flags and file come together", async () => {
  await writeFile(join(cwd, ".env"), "A=1\nnonsense\n");
  await writeFile(join(cwd, "m.yaml"), "\nlistn: x\n");
  expect(await refused({ file: "m.yaml", port: 70_000, env: { MILLRACE_LOG_FORMAT: "xml" } })).toBe(
    [
      ".env:2:1: Write NAME=value, or begin the line with # to make it a comment.",
      "MILLRACE_LOG_FORMAT: MILLRACE_LOG_FORMAT must be one of json, text.",
      "m.yaml:2:1: listn is not a known key; did you mean listen?",
      "--port: --port must be a port number from 0 to 65535.",
    ].join("\n"),
  );
});

test("a file that speaks of upstreams owns them; one that does not leaves them to the environment", async () => {
  const env = { DEEPSEEK_API_KEY: KEY };
  await writeFile(join(cwd, "own.yaml"), "upstreams: { a: { base_url: http://127.0.0.1:1 } }");
  await writeFile(join(cwd, "rest.yaml"), "log: { level: warn }");
  expect([...(await loaded({ file: "own.yaml", env })).upstreams.keys()]).toEqual(["a"]);
  expect([...(await loaded({ file: "rest.yaml", env })).upstreams.keys()]).toEqual(["deepseek"]);
});

test("a file takes its references from .env too", async () => {
  await writeFile(join(cwd, ".env"), `MY_KEY=${KEY}`);
  await writeFile(join(cwd, "m.json"), '{"upstreams": {"a": {"base_url": "https://a.example", "api_key": "${MY_KEY}"}}}');
  expect((await loaded({ file: "m.json" })).upstreams.get("a")?.apiKey).toBe(KEY);
});

test("a file that cannot be read is a mistake, and so is one that is too large", async () => {
  expect(await refused({ file: "none.yaml" })).toBe("none.yaml: The configuration file does not exist.");
  expect(await refused({ file: "." })).toBe(".: The configuration file is a directory.");
  await writeFile(join(cwd, "big.yaml"), `# ${"x".repeat(1024 ** 2)}`);
  expect(await refused({ file: "big.yaml" })).toBe("big.yaml: The configuration file is larger than 1 MiB.");
});
