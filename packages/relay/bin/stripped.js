/**
 * The stripped sources: the checkout's TypeScript without its types, as `npm ci` leaves it below `node_modules/.cache/millrace`.
 * Node would strip them again in each process and in each thread, by a WebAssembly module that costs 25 MB in each. A copy is
 * named by the hash of its source, so one that is missing or stale is never taken: Node strips that file then. The relay reads
 * them and writes none. Plain JavaScript, because it runs before anything can be stripped.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as module from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The top of the checkout. */
export const CHECKOUT = join(dirname(fileURLToPath(import.meta.url)), "../../..");

/** Where the copies are. */
export const STRIPPED_DIR = join(CHECKOUT, "node_modules/.cache/millrace");

const SOURCE = /\/packages\/[a-z]+\/src\/.*\.ts$/;

/** The name of the copy of a source. @param source the file's bytes. */
export function strippedName(source) {
  return `${createHash("sha1").update(source).digest("hex")}.js`;
}

/** From here on this thread loads the copy of each source that has one. */
export function loadStripped() {
  module.registerHooks({
    load(url, context, next) {
      const copy = SOURCE.test(url) ? copyOf(fileURLToPath(url)) : null;
      return copy === null ? next(url, context) : { format: "module", source: copy, shortCircuit: true };
    },
  });
}

/** The stripped bytes of a source, or null when there is no copy that can be read. */
function copyOf(path) {
  try {
    return readFileSync(join(STRIPPED_DIR, strippedName(readFileSync(path))));
  } catch {
    return null; // No copy is no error, and a source that is missing is reported by Node's own loader.
  }
}
