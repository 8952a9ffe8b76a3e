/** The other end of a worker line: answers each message, a failure included. */
import { errorText } from "../../basics/error-text.ts";
import { parentPort } from "node:worker_threads";
import type { WorkerAnswer } from "./worker-client.ts";

/** Answers until it is told to close. The first answer, to no question, says that the worker is ready. */
export function answerMessages(answer: (message: never) => unknown, close: () => void): void {
  const port = parentPort;
  if (port === null) throw new Error("this file runs as a worker thread");
  port.on("message", (message: unknown) => {
    if (message === "close") {
      close();
      port.close();
      return;
    }
    port.postMessage(outcome(() => answer(message as never)));
  });
}

function outcome(work: () => unknown): WorkerAnswer {
  try {
    return { value: work() };
  } catch (error) {
    return { failure: errorText(error) };
  }
}
