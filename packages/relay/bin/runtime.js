/** What a process or a thread of the relay sets before it loads anything else. Importing it is all; a second time changes nothing. */
import { setFlagsFromString } from "node:v8";
import { isMainThread } from "node:worker_threads";
import { loadStripped } from "./stripped.js";

/**
 * V8 before 14 (Node before 26) frees a WebAssembly wrapper while another thread looks it up, and the process dies of SIGSEGV
 * or SIGTRAP. Node strips types by WebAssembly in each thread that loads a `.ts` file. Without that garbage collection nothing
 * is freed early, at the cost of the wrappers' few kilobytes.
 */
if (isMainThread && Number.parseInt(process.versions.v8, 10) < 14) setFlagsFromString("--no-wasm-code-gc");

loadStripped();
