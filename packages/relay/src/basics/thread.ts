/** Starts threads on the relay's own modules. */
import { Worker } from "node:worker_threads";

/**
 * Starts a thread. From source it is prepared as the process is, before it loads a `.ts` file.
 * @param beside `import.meta.url` of a module in the same folder. @param name the module's file, without its ending.
 */
export function startThread(beside: string, name: string, workerData: object): Worker {
  if (!beside.endsWith(".ts")) return new Worker(new URL(`./${name}.js`, beside), { workerData });
  const file = new URL(`./${name}.ts`, beside).href;
  return new Worker(new URL("../../bin/thread.js", import.meta.url), { workerData, argv: [file] });
}
