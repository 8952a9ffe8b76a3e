/** A relay as its users run it: a process of its own, started by its command from a configuration file. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { freePort } from "./free-port.ts";
import { ADMIN_TOKEN } from "./admin-token.ts";

const BIN = new URL("../../bin/millrace.js", import.meta.url).pathname;

const PROCESS_KEY = "sk-0123456789abcdefghijklmnopqrstuvwxyz";

export interface RelayProcess {
  readonly port: number;
  readonly key: string;
  readonly dataDir: string;
  readonly child: ChildProcess;
  /** All that it printed so far, both streams. */
  output(): string;
  /** Resident memory in bytes, from the kernel. */
  rss(): number;
  rows(): Record<string, string | number | null>[];
  /** Resolves with the exit code, or with the signal's name. */
  readonly exited: Promise<number | string>;
  /** Ends the process if it still runs, and its directory. */
  close(): Promise<void>;
}

/** A process that has begun to start; whether it gets as far as listening is yet to be seen. */
type StartedRelay = Pick<RelayProcess, "port" | "dataDir" | "child" | "output" | "exited">;

interface SpawnSettings {
  /** Of Node. */
  readonly flags?: readonly string[];
  /** A port that another relay still has, to take over from it. */
  readonly onPort?: number;
}

/**
 * Starts the command on a data directory.
 * @param config the configuration file's content; listen and data are added.
 */
export async function spawnRelay(config: object, dataDir: string, { flags = [], onPort }: SpawnSettings = {}): Promise<StartedRelay> {
  const port = onPort ?? (await freePort());
  const file = join(dataDir, "config.json");
  writeFileSync(file, JSON.stringify(config));
  const child = spawn(process.execPath, [...flags, BIN, "serve", "--config", file, "--port", String(port), "--data", dataDir], {
    cwd: dataDir,
    env: { PATH: process.env["PATH"], MILLRACE_KEY: PROCESS_KEY, MILLRACE_ADMIN_TOKEN: ADMIN_TOKEN },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (output += bytes.toString()));
  // Whoever started it may end without asking: it must not outlive them.
  const onExit = (): void => void child.kill("SIGKILL");
  process.once("exit", onExit);
  const exited = new Promise<number | string>((resolve) =>
    child.on("exit", (code, signal) => {
      process.off("exit", onExit);
      resolve(code ?? signal ?? "unknown");
    }),
  );
  return { port, dataDir, child, output: () => output, exited };
}

/**
 * Starts the command and waits until it listens.
 * @param again the directory of an earlier process, to start over on its data.
 */
export async function startRelayProcess(
  config: object,
  again?: { readonly dataDir: string },
  settings: SpawnSettings = {},
): Promise<RelayProcess> {
  const dataDir = again?.dataDir ?? mkdtempSync(join(tmpdir(), "millrace-process-"));
  const started = await spawnRelay(config, dataDir, settings);
  const { child, output } = started;
  const deadline = performance.now() + 30_000;
  while (!output().includes("listening on")) {
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`the relay did not start: ${output()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    ...started,
    key: PROCESS_KEY,
    rss: () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0) * 1024,
    rows: () => {
      const database = new DatabaseSync(join(dataDir, "millrace.db"), { readOnly: true });
      try {
        return database.prepare("SELECT * FROM requests ORDER BY at, id").all() as Record<string, string | number | null>[];
      } finally {
        database.close();
      }
    },
    close: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await started.exited;
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
