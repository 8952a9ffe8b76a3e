/**
 * What the spool files hold, for a backup. Its files are opened before the database is read: what is moved from them into
 * the database meanwhile is then in the backup twice rather than not at all, and it is stored once by its id.
 */
import { closeSync, createReadStream, fstatSync, openSync } from "node:fs";
import { spoolsOf } from "../data-directory.ts";
import { spoolLines } from "../keeper/spool-lines.ts";
import { isSpoolEntry } from "../keeper/spool.ts";

export interface SpoolCopy {
  lines(): AsyncIterable<string>;
  close(): void;
}

interface OpenFile {
  readonly fd: number;
  readonly size: number;
}

/** Of the files as they are now, however they grow or vanish later. */
export function copySpool(dataDir: string): SpoolCopy {
  // In the order in which lines move: what is moved between two looks is seen by one of them.
  const files = spoolsOf(dataDir).flatMap((path) => [path, `${path}.taken`].flatMap((each) => openIfThere(each)));
  return {
    lines: () => linesOf(files.toReversed()),
    close: () => {
      for (const { fd } of files) closeSync(fd);
    },
  };
}

function openIfThere(path: string): OpenFile[] {
  try {
    const fd = openSync(path, "r");
    return [{ fd, size: fstatSync(fd).size }];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** What a crash left torn was never acknowledged, and stays out. */
async function* linesOf(files: readonly OpenFile[]): AsyncGenerator<string> {
  for (const { fd, size } of files) {
    if (size === 0) continue;
    const input = createReadStream("", { fd, autoClose: false, start: 0, end: size - 1 });
    for await (const lines of spoolLines(input)) yield* lines.map((line) => line.text).filter(isSpoolEntry);
  }
}
