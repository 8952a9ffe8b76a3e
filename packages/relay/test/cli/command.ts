/** The `millrace` command as a process of its own. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const BIN = new URL("../../bin/millrace.js", import.meta.url).pathname;

export const ADMIN_TOKEN = "mra_0123456789abcdefghijklmnopqrstuvwxyz";
export const OWN_KEY = "sk-0123456789abcdefghijklmnopqrstuvwxyz";

export interface Ran {
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

export interface Started {
  readonly child: ChildProcess;
  out(): string;
  err(): string;
  /** Waits for a text on standard output. */
  says(text: string): Promise<void>;
  readonly exited: Promise<Ran>;
}

interface Settings {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Another program than the Node of this process running the sources. */
  readonly program?: readonly [string, ...string[]];
  readonly isGroup?: boolean;
}

export function newDir(name = "millrace-cli-"): string {
  return mkdtempSync(join(tmpdir(), name));
}

/** Starts the command; nothing of this process's environment but the path goes along. */
export function start(args: readonly string[], { env = {}, cwd, program = [process.execPath, BIN], isGroup }: Settings = {}): Started {
  const child = spawn(program[0], [...program.slice(1), ...args], {
    cwd: cwd ?? newDir(),
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: isGroup ?? false,
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (bytes: Buffer) => (out += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (err += bytes.toString()));
  // A test that fails ends without asking: the process must not outlive it.
  const onExit = (): void => void child.kill("SIGKILL");
  process.once("exit", onExit);
  child.on("exit", () => process.off("exit", onExit));
  const exited = new Promise<Ran>((resolve) => child.on("close", (code, signal) => resolve({ code: code ?? signal ?? "?", out, err })));
  const says = async (text: string): Promise<void> => {
    const deadline = performance.now() + 15_000;
    while (!out.includes(text)) {
      if (child.exitCode !== null || performance.now() > deadline) throw new Error(`never said ${text}: ${out}${err}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  return { child, out: () => out, err: () => err, says, exited };
}

/** Runs the command to its end. */
export function run(args: readonly string[], settings: Settings = {}): Promise<Ran> {
  return start(args, settings).exited;
}

/** The address in the start line. */
export function urlOf(started: Started): string {
  return /^listening on (http:\/\/\S+)$/m.exec(started.out())?.[1] ?? "";
}
