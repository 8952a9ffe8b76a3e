/**
 * Pairs of upstreams, the first of which fails. Before content the second one answers and the client notices nothing; after
 * content the client is told. Starts three simulators and a relay in processes of their own, and ends them.
 *
 *   npx node examples/fallback.ts
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const millrace = join(import.meta.dirname, "../packages/relay/bin/millrace.js");
const key = "sk-example-0123456789abcdefghijklmnopqrstuv";
const directory = mkdtempSync(join(tmpdir(), "millrace-example-"));
const children: ChildProcess[] = [];

/** Starts a command and waits for the address it prints. */
async function start(...args: string[]): Promise<string> {
  const env = { PATH: process.env["PATH"], MILLRACE_KEY: key, MILLRACE_LOG_LEVEL: "error" };
  const child = spawn(process.execPath, [millrace, ...args], { cwd: directory, env, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /listening on (\S+)/.exec(line)?.[1];
    if (address !== undefined) return address;
  }
  throw new Error(`millrace ${args.join(" ")} did not start`);
}

/** Asks a model for a stream and says how it went. */
async function ask(relay: string, model: string): Promise<void> {
  const response = await fetch(`${relay}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: "Hello" }] }),
  });
  let text = "";
  let ending = "the body ended";
  try {
    for await (const bytes of response.body ?? []) text += Buffer.from(bytes).toString();
  } catch {
    ending = "the connection broke";
  }
  const error = /"error":\{.*?"code":"(\w+)"/.exec(text)?.[1];
  console.log(
    `${model}: status ${response.status}, answered by ${response.headers.get("x-millrace-upstream")}, ` +
      `attempts ${response.headers.get("x-millrace-attempts")}, [DONE] ${text.includes("data: [DONE]") ? "yes" : "no"}, ` +
      `error ${error ?? "none"}, ${ending}`,
  );
}

try {
  const upstreams = {
    failing: { provider: "openai-compatible", base_url: await start("simulate", "--fault", "503") },
    breaking: { provider: "openai-compatible", base_url: await start("simulate", "--rate", "0", "--fault", "cut=2500") },
    good: { provider: "openai-compatible", base_url: await start("simulate", "--rate", "0") },
  };
  const models = {
    "fails-first": { upstreams: [{ upstream: "failing" }, { upstream: "good" }] },
    "breaks-later": { upstreams: [{ upstream: "breaking" }, { upstream: "good" }] },
  };
  const file = join(directory, "config.json");
  writeFileSync(file, JSON.stringify({ upstreams, models }));
  const relay = await start("serve", "--config", file, "--port", "0");
  await ask(relay, "fails-first");
  await ask(relay, "breaks-later");
} finally {
  const ended = children.map((child) => new Promise((resolve) => child.once("exit", resolve)));
  for (const child of children) child.kill();
  await Promise.all(ended);
  rmSync(directory, { recursive: true });
}
