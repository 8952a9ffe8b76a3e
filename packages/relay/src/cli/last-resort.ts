/** What a serving process does about a bug that no request can be blamed for. */
import { errorStack } from "../basics/error-text.ts";
import type { Served } from "../main.ts";

/** After such a bug the process is over within this time, whatever hangs. */
const OVER_WITHIN_MS = 10_000;

/**
 * Ends the process after an exception or a rejection that nobody caught, because nobody knows what it left half done. The log
 * gets the stack, once: what else goes wrong until the end follows from it. The exit code is 1.
 * @param end refuses new requests, tells running ones `relay_stopped`, keeps their rows, then ends the process.
 */
export function endOnBug(log: Served["log"], end: () => Promise<void>): void {
  let isEnding = false;
  process.on("uncaughtException", (error) => {
    if (isEnding) return;
    isEnding = true;
    process.exitCode = 1;
    log.trouble(`bug outside of any request, the relay ends: ${errorStack(error)}`);
    setTimeout(() => process.exit(), OVER_WITHIN_MS);
    void end();
  });
}
