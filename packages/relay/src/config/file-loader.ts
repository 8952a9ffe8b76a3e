/** Loads the configuration again and again from the files and flags that the relay was started with. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ConfigResult } from "./config.ts";
import { stampOf } from "./file-watch.ts";
import type { FileStamps } from "./file-watch.ts";
import { loadConfig } from "./load.ts";
import type { LoadRequest } from "./load.ts";
import type { RevisionSource } from "./revision.ts";

/** Files that change while they are read are read again. */
const TRIES_MAX = 5;
const AGAIN_MS = 50;

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

  /** Reads and checks everything. Never rejects. */
  async load(): Promise<ConfigResult> {
    for (let tries = 1; ; tries++) {
      const read = new Map<string, string>();
      const result = await loadConfig({ ...this.#request, onFile: (path) => read.set(path, stampOf(path)) });
      this.#stamps = result.ok ? read : new Map([...this.#stamps, ...read]);
      const moving = [...read].find(([path, stamp]) => stampOf(path) !== stamp)?.[0];
      if (moving === undefined) return result;
      if (tries === TRIES_MAX) return { ok: false, mistakes: [{ place: moving, message: "This file changes while it is read." }] };
      await sleep(AGAIN_MS);
    }
  }
}
