/** The ways to the upstream that are compared: directly, through nginx, through Millrace as it ships. */
import { setTimeout as sleep } from "node:timers/promises";
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../packages/relay/src/simulator/listen.ts";

export interface Arm {
  readonly name: string;
  readonly port: number;
  /** What this arm's requests authenticate with. */
  readonly key: string;
  /** The process whose cost is counted; null for the direct arm. */
  readonly pid: number | null;
  stop(): Promise<void>;
}

const KEY = "sk-bench-0123456789abcdefghijklmnopqrstuv";
const ADMIN_TOKEN = "mra_bench-0123456789abcdefghijklmnopqrstuv";
const ROOT = join(import.meta.dirname, "..");

/** Starts a process and waits for a line that says it is up. */
function launch(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  isUp: RegExp,
): Promise<{ child: ChildProcess; match: RegExpExecArray }> {
  const child = spawn(command, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "ignore"] });
  return new Promise((resolve, reject) => {
    let output = "";
    const timer = setTimeout(() => reject(new Error(`${command} did not start: ${output}`)), 15_000);
    child.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${output}`)));
    child.stdout.on("data", (bytes: Buffer) => {
      output += bytes.toString();
      const match = isUp.exec(output);
      if (match === null) return;
      clearTimeout(timer);
      resolve({ child, match });
    });
  });
}

function stopper(child: ChildProcess, directory?: string): () => Promise<void> {
  return async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(timer);
    if (directory !== undefined) rmSync(directory, { recursive: true });
  };
}

export async function startUpstream(): Promise<Arm> {
  const { child, match } = await launch(process.execPath, ["bench/upstream.ts"], {}, /^(\d+)\n/);
  return { name: "direct", key: KEY, port: Number(match[1]), pid: null, stop: stopper(child) };
}

/** Millrace as it ships, answering for an account that pays or for one that does not; `power` syncs every commit to the disk. */
export async function startMillrace(upstreamPort: number, name: "millrace" | "metered" | "metered, power"): Promise<Arm> {
  const directory = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  const { port, child } = await serveOn(directory, upstreamPort, `durability: ${name === "metered, power" ? "power" : "process"}`);
  const key = name === "millrace" ? KEY : await meteredKey(port);
  return { name, key, port, pid: child.pid ?? null, stop: stopper(child, directory) };
}

/** Millrace on data that is there, and stays there; and how long it took to be ready. */
export async function startOnData(directory: string, upstreamPort: number, setting: string): Promise<Arm & { readonly startMs: number }> {
  const startedAt = performance.now();
  const { port, child } = await serveOn(directory, upstreamPort, setting);
  const startMs = performance.now() - startedAt;
  if (!(await fetch(`http://127.0.0.1:${port}/readyz`)).ok) throw new Error("the relay listens, but is not ready");
  return { name: "millrace", key: KEY, port, pid: child.pid ?? null, stop: stopper(child), startMs };
}

/** A question to the control API as its owner. */
export async function askAdmin(port: number, path: string): Promise<Response> {
  return await fetch(`http://127.0.0.1:${port}/admin/api/${path}`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
}

async function serveOn(directory: string, upstreamPort: number, setting: string): Promise<{ port: number; child: ChildProcess }> {
  const port = await freePort();
  const file = join(directory, "config.yaml");
  const lines = [
    "upstreams:",
    `  up: { provider: openai-compatible, base_url: "http://127.0.0.1:${upstreamPort}/v1", max_in_flight: 5000 }`,
    "models:",
    '  m: { upstreams: [ { upstream: up, model: m } ], price: { input: "1.00", cached_input: "0.10", output: "2.00" } }',
    "log: { level: warn }",
    setting,
  ];
  writeFileSync(file, `${lines.join("\n")}\n`);
  const args = ["packages/relay/bin/millrace.js", "serve", "--config", file, "--port", String(port), "--data", directory];
  const { child } = await launch(process.execPath, args, { MILLRACE_KEY: KEY, MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN }, /listening on/);
  return { port, child };
}

/** A key of an account with more credit than any run uses. */
async function meteredKey(port: number): Promise<string> {
  const post = async (path: string, body: object): Promise<Record<string, string>> => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" };
    const response = await fetch(`http://127.0.0.1:${port}/admin/api/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`the relay refused ${path}: ${await response.text()}`);
    return (await response.json()) as Record<string, string>;
  };
  const { id } = await post("accounts", { name: "bench", metered: true });
  await post(`accounts/${id}/credits`, { amount: "100000000.00", reason: "bench", reference: "bench" });
  const { key } = await post("keys", { account_id: id });
  if (key === undefined) throw new Error("the relay made no key");
  return key;
}

/** Null when there is no nginx on this machine. */
export async function startNginx(upstreamPort: number): Promise<Arm | null> {
  const program = ["/usr/sbin/nginx", "nginx"].find((each) => spawnSync(each, ["-v"]).status === 0);
  if (program === undefined) return null;
  const directory = mkdtempSync(join(tmpdir(), "millrace-bench-nginx-"));
  const port = await freePort();
  const file = join(directory, "nginx.conf");
  writeFileSync(file, nginxConfig(directory, port, upstreamPort));
  const child = spawn(program, ["-c", file, "-p", directory, "-e", join(directory, "error.log")], { stdio: "ignore" });
  for (let i = 0; i < 100; i++) {
    if (await answers(port)) return { name: "nginx", key: KEY, port, pid: child.pid ?? null, stop: stopper(child, directory) };
    await sleep(50);
  }
  await stopper(child, directory)();
  throw new Error("nginx did not start");
}

async function answers(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/v1/models`).then(
    (response) => response.ok,
    () => false,
  );
}

function nginxConfig(directory: string, port: number, upstreamPort: number): string {
  return `
daemon off;
worker_processes 1;
pid ${directory}/pid;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 1024; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000;
    location / {
      proxy_pass http://up;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`;
}
