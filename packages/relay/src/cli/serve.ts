/** `millrace serve`. */
import { errorStack, errorText } from "../basics/error-text.ts";
import { setFlagsFromString } from "node:v8";
import { formatMistakes, loadConfig } from "../config/load.ts";
import { serve } from "../main.ts";
import type { Served } from "../main.ts";
import { fail } from "./fail.ts";
import { endOnBug } from "./last-resort.ts";

export interface ServeOptions {
  readonly config?: string;
  readonly host?: string;
  readonly port?: number;
  readonly data?: string;
}

/**
 * V8 lets its nursery grow sixteenfold under load and never gives it back. A relay's garbage dies young: with the
 * nursery as it starts, 200 endless streams cost 110 MB instead of 270 MB.
 */
setFlagsFromString("--semi-space-growth-factor=1");

/** Starts the relay and stays until a signal: the first drains, the second ends at once. */
export async function runServe(given: ServeOptions): Promise<void> {
  const loaded = await loadConfig({
    file: given.config,
    host: given.host,
    port: given.port,
    data: given.data,
    env: process.env,
    cwd: process.cwd(),
  });
  if (!loaded.ok) return fail(`the configuration has mistakes:\n${formatMistakes(loaded.mistakes)}`, 1);
  const served = await serve(loaded.config, given.config === undefined ? "environment" : "file", (line) =>
    process.stdout.write(`${line}\n`),
  ).catch((error: unknown) => {
    fail(describe(error, loaded.config.listen), 1);
    return null;
  });
  if (served === null) return;
  // The reader of the start lines may have closed the pipe. Then later output is lost, and nothing else happens.
  process.stdout.on("error", () => undefined);
  endOnBug(served.log, () => end(served, { delayMs: 0, drainMs: 0 }));
  process.on("SIGTERM", () => void end(served, loaded.config.shutdown));
  process.on("SIGINT", () => void end(served, { ...loaded.config.shutdown, delayMs: 0 }));
}

let isEnding = false;

async function end(served: Served, shutdown: { delayMs: number; drainMs: number }): Promise<void> {
  if (isEnding) return served.app.hurry();
  isEnding = true;
  try {
    await served.stop(shutdown);
  } catch (error) {
    process.exitCode = 1;
    served.log.trouble(`the relay did not end in order: ${errorStack(error)}`);
  }
  process.exit();
}

function describe(error: unknown, listen: { host: string; port: number }): string {
  const { code, syscall, path } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === "EADDRINUSE")
    return `port ${listen.port} on ${listen.host} is in use: stop what listens there, or choose another with --port`;
  if (code === "EACCES")
    return `may not listen on ${listen.host}:${listen.port}, or may not write the data directory: choose others with --port and --data`;
  if (syscall === "mkdir") return `${path ?? "the data directory"} cannot be made (${code ?? "unknown"}): choose another with --data`;
  if (code === "ENOTFOUND" || code === "EADDRNOTAVAIL") return `${listen.host} is no address of this machine: choose another with --host`;
  return errorText(error);
}
