/** Makes names and files last through a loss of power. */
import { closeSync, fsyncSync, openSync } from "node:fs";

/** What was renamed, made or removed in it. */
export function syncDirectory(path: string): void {
  syncFile(path);
}

export function syncFile(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
