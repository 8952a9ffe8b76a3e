/** One relay per data directory: a lock that the kernel takes back however the process ends. */
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";

export interface DataLock {
  release(): void;
}

/** Takes the lock, or returns null when another process holds it. */
export function lockData(dataDir: string): DataLock | null {
  const database = new DatabaseSync(join(dataDir, "lock"), { timeout: 0 });
  try {
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch {
    database.close();
    return null;
  }
  return { release: () => database.close() };
}
