/** `millrace serve`. */
import { errorStack, errorText } from "../basics/error-text.ts";
import { setFlagsFromString } from "node:v8";
import type { Config } from "../config/config.ts";
import { FileLoader } from "../config/file-loader.ts";
import { formatMistakes } from "../config/load.ts";
import { isatty } from "node:tty";
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
  const hangUps = new HangUps();
  const { config: file, ...flags } = given;
  const loader = new FileLoader({ ...flags, file, env: process.env, cwd: process.cwd() });
  const loaded = await loader.load();
  if (!loaded.ok) return fail(`the configuration has mistakes:\n${formatMistakes(loaded.mistakes)}`, 1);
  const served = await serve(loaded.config, loader, printLine).catch((error: unknown) => {
    fail(describe(error, loaded.config.listen), 1);
    return null;
  });
  if (served === null) return;
  // The reader of the start lines may have closed the pipe. Then later output is lost, and nothing else happens.
  process.stdout.on("error", () => undefined);
  endOnBug(served.log, () => end(served, { delayMs: 0, drainMs: 0 }));
  const shutdown = (): Config["shutdown"] => served.app.current.now.config.shutdown;
  process.on("SIGTERM", () => void end(served, shutdown()));
  process.on("SIGINT", () => void end(served, { ...shutdown(), delayMs: 0 }));
  hangUps.heed(
    isInTerminal() ? () => void end(served, { ...shutdown(), delayMs: 0 }) : () => void served.app.reloader.reloadUnasked("SIGHUP"),
  );
  for (const line of served.lines) printLine(line);
  void served.failed.then((error) => {
    if (isEnding) return;
    fail(errorText(error), 1);
    return end(served, { ...shutdown(), delayMs: 0 });
  });
}

function printLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** A SIGHUP that comes while the relay starts would end it; it is kept until the relay can heed it. */
class HangUps {
  #heed: (() => void) | null = null;
  #isPending = false;

  constructor() {
    process.on("SIGHUP", () => {
      if (this.#heed === null) this.#isPending = true;
      else this.#heed();
    });
  }

  heed(listener: () => void): void {
    this.#heed = listener;
    if (this.#isPending) listener();
  }
}

/** A terminal that closes sends SIGHUP to what runs in it, and that should end as it always did. Services have no terminal. */
function isInTerminal(): boolean {
  return [0, 1, 2].some((descriptor) => isatty(descriptor));
}

let isEnding = false;

async function end(served: Served, shutdown: Config["shutdown"]): Promise<void> {
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
