/** Loads the configuration again and again from the files and flags that the relay was started with. */
import { once } from "node:events";
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { startThread } from "../basics/thread.ts";
import type { ConfigResult } from "./config.ts";
import { stampOf } from "./file-watch.ts";
import type { FileStamps } from "./file-watch.ts";
import { loadConfig } from "./load.ts";
import type { LoadRequest } from "./load.ts";
import type { RevisionSource } from "./revision.ts";

/** Files that change while they are read are read again. */
const TRIES_MAX = 5;
const AGAIN_MS = 50;
/** Files that are larger, all together, are read in a thread of their own: YAML takes 3 ms for each KiB. */
const THREAD_BYTES_MIN = 16 * 1024;

export class FileLoader {
  readonly #request: LoadRequest;
  #stamps: FileStamps = new Map();

  constructor(request: LoadRequest) {
    this.#request = request;
  }

  get source(): RevisionSource {
    return this.#request.file === undefined ? "environment" : "file";
  }

  /** What the files looked like just before they were last read: those of the last good load, and of any later one. */
  get stamps(): FileStamps {
    return this.#stamps;
  }

  /** Reads and checks everything. Rejects only where no thread can be started. */
  async load(): Promise<ConfigResult> {
    for (let tries = 1; ; tries++) {
      const { result, read } = await (this.#isLarge ? loadInThread(this.#request) : loadStamped(this.#request));
      this.#stamps = result.ok ? read : new Map([...this.#stamps, ...read]);
      const moving = [...read].find(([path, stamp]) => stampOf(path) !== stamp)?.[0];
      if (moving === undefined) return result;
      if (tries === TRIES_MAX) return { ok: false, mistakes: [{ place: moving, message: "This file changes while it is read." }] };
      await sleep(AGAIN_MS);
    }
  }

  /** False at the first load, when nothing runs yet that could be stalled. */
  get #isLarge(): boolean {
    const sizes = [...this.#stamps.keys()].map((path) => statSync(path, { throwIfNoEntry: false })?.size ?? 0);
    return sizes.reduce((sum, size) => sum + size, 0) >= THREAD_BYTES_MIN;
  }
}

interface StampedResult {
  readonly result: ConfigResult;
  /** What each file looked like just before it was read. */
  readonly read: ReadonlyMap<string, string>;
}

/** Loads the configuration in this thread. */
export async function loadStamped(request: LoadRequest): Promise<StampedResult> {
  const read = new Map<string, string>();
  const result = await loadConfig({ ...request, onFile: (path) => read.set(path, stampOf(path)) });
  return { result, read };
}

async function loadInThread(request: LoadRequest): Promise<StampedResult> {
  const thread = startThread(import.meta.url, "load-thread", { ...request, env: { ...request.env } });
  const ended = once(thread, "exit").then(() =>
    Promise.reject(new Error("the thread that loads the configuration ended without an answer")),
  );
  const [stamped] = (await Promise.race([once(thread, "message"), ended])) as [StampedResult];
  await thread.terminate();
  return stamped;
}
