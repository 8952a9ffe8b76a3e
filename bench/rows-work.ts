/** The work that is measured on many rows, each in a process of its own: questions, streams meanwhile, the command. */
import { setTimeout as sleep } from "node:timers/promises";
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Arm } from "./arms.ts";
import { runStreams } from "./load.ts";
import { rssBytes } from "./processes.ts";

export const LOAD = { streams: 100, rate: 20 };
const PROBE_EVERY_MS = 10;
const ROOT = join(import.meta.dirname, "..");
const CLI = "packages/relay/bin/millrace.js";

export interface Asked {
  readonly name: string;
  readonly ms: readonly number[];
  readonly lines: number;
}

export function ask(port: number, nowMs: number): Promise<Asked[]> {
  const child = spawn(process.execPath, ["bench/rows-asker.ts", String(port), String(nowMs)], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  return new Promise((resolve, reject) => {
    child.on("close", (code) => {
      if (code === 0)
        resolve(
          output
            .trimEnd()
            .split("\n")
            .map((line) => JSON.parse(line) as Asked),
        );
      else reject(new Error(`asking ended with ${code}`));
    });
  });
}

/** Streams and probes for as long as the work takes. */
export async function felt(relay: Arm, work: () => Promise<unknown>): Promise<{ transit: number[]; probe: number[] }> {
  let isOver = false;
  const done = work().finally(() => (isOver = true));
  const transit: number[] = [];
  const streaming = (async () => {
    while (!isOver) transit.push(...(await runStreams(relay, { ...LOAD, seconds: 2 })).transit);
  })();
  const probe: number[] = [];
  while (!isOver) {
    const startedAt = performance.now();
    await (await fetch(`http://127.0.0.1:${relay.port}/healthz`)).text();
    probe.push(performance.now() - startedAt);
    await sleep(PROBE_EVERY_MS);
  }
  await Promise.all([done, streaming]);
  return { transit, probe };
}

export async function command(args: readonly string[]): Promise<{ ms: number; rssMax: number }> {
  const startedAt = performance.now();
  const env = { PATH: process.env["PATH"] };
  const child = spawn(process.execPath, [CLI, ...args], { cwd: ROOT, env, stdio: ["ignore", "ignore", "inherit"] });
  let rssMax = 0;
  const timer = setInterval(() => (rssMax = Math.max(rssMax, child.pid === undefined ? 0 : rssOf(child.pid))), 50);
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearInterval(timer);
  if (code !== 0) throw new Error(`${args[0]} ended with ${String(code)}`);
  return { ms: performance.now() - startedAt, rssMax };
}

/** It may have ended between two looks. */
function rssOf(pid: number): number {
  try {
    return rssBytes(pid);
  } catch {
    return 0;
  }
}
