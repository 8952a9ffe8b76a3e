/** What this process can carry, from what its surroundings allow it. Read once: neither limit changes while it runs. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";

/** What the surroundings allow a process. */
export interface ProcessLimits {
  /** File descriptors; null if the system does not say. */
  readonly filesMax: number | null;
  /** Bytes of memory: those of its container, or of the machine. */
  readonly memoryBytes: number;
  /** Bytes that JavaScript's heap may have. */
  readonly heapBytes: number;
}

export interface Capacity {
  /** Connections of clients at the same time. */
  readonly connectionsMax: number;
  /** Calls of upstreams at the same time. */
  readonly callsMax: number;
}

/** Assumed if the system does not say how many files may be open. */
const FILES_MAX_DEFAULT = 20_000;
const CONNECTIONS_MIN = 64;
const CALLS_MIN = 16;
/** The share of the memory, and of the heap, that running answers may fill. */
const CALLS_SHARE = 0.5;
/** A stream whose client never reads, all its buffers full: 0.3 MiB of memory were measured, 53 KiB of them in the heap. */
const CALL_BYTES = 512 * 1024;
const CALL_HEAP_BYTES = 64 * 1024;

/**
 * Of the files, half are for clients and three eighths for upstreams; the store and idle connections have the rest. Half of the
 * memory is for answers, 0.5 MiB for each.
 */
export function capacityOf({ filesMax, memoryBytes, heapBytes }: ProcessLimits): Capacity {
  const files = filesMax ?? FILES_MAX_DEFAULT;
  const calls = Math.min((files * 3) / 8, (memoryBytes * CALLS_SHARE) / CALL_BYTES, (heapBytes * CALLS_SHARE) / CALL_HEAP_BYTES);
  return {
    connectionsMax: Math.max(CONNECTIONS_MIN, Math.floor(files / 2)),
    callsMax: Math.max(CALLS_MIN, Math.floor(calls)),
  };
}

/** What this process can carry. */
export const CAPACITY: Capacity = capacityOf({
  filesMax: readFilesMax(),
  memoryBytes: Math.min(process.constrainedMemory() || Infinity, totalmem()),
  heapBytes: getHeapStatistics().heap_size_limit,
});

/** The soft limit; Node has raised it to the hard one. Null outside Linux. */
function readFilesMax(): number | null {
  try {
    const count = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return count === undefined ? null : Number(count);
  } catch {
    return null;
  }
}
