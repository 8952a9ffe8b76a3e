/**
 * Strips the types of the checkout's sources ahead of their use (see `packages/relay/bin/stripped.js`). `npm ci` runs it as
 * "prepare"; tests, chaos and bench run it again for what was edited. Whatever it cannot do is said and is no failure: a relay
 * without the copies strips at its start. Plain JavaScript that an old Node can read.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import * as module from "node:module";
import { join } from "node:path";
import { CHECKOUT, STRIPPED_DIR, strippedName } from "../packages/relay/bin/stripped.js";

/** Every source file of the packages, as full paths. */
function sources() {
  const packages = join(CHECKOUT, "packages");
  return readdirSync(packages).flatMap((name) => {
    const src = join(packages, name, "src");
    if (!existsSync(src)) return [];
    const files = readdirSync(src, { recursive: true }).filter((file) => file.endsWith(".ts"));
    return files.map((file) => join(src, file));
  });
}

/** Writes the copy of a source unless there is one. @returns the copy's name. */
function strip(path) {
  const source = readFileSync(path);
  const name = strippedName(source);
  const copy = join(STRIPPED_DIR, name);
  if (existsSync(copy)) return name;
  // Renamed into place, so that nobody reads half of it.
  const draft = `${copy}.${process.pid}`;
  writeFileSync(draft, module.stripTypeScriptTypes(source.toString()));
  renameSync(draft, copy);
  return name;
}

/** Copies of sources that are gone. */
function removeAllBut(names) {
  for (const name of readdirSync(STRIPPED_DIR)) if (!names.has(name)) rmSync(join(STRIPPED_DIR, name), { force: true });
}

if (typeof module.stripTypeScriptTypes === "function") {
  process.removeAllListeners("warning"); // Node calls the function experimental, once per use.
  try {
    mkdirSync(STRIPPED_DIR, { recursive: true });
    removeAllBut(new Set(sources().map(strip)));
  } catch (error) {
    console.warn(`the sources are not stripped ahead, and the relay will start slower: ${error.message}`);
  }
}
