/** Loads a configuration once, in a thread of its own: to read a large file takes long, and must not stall a stream. */
import { parentPort, workerData } from "node:worker_threads";
import { loadStamped } from "./file-loader.ts";
import type { LoadRequest } from "./load.ts";

parentPort?.postMessage(await loadStamped(workerData as LoadRequest));
