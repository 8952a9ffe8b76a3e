import { errorJson } from "./error-body.ts";
import type { Fault } from "./fault.ts";
import type { Step } from "./pace.ts";
import type { Scenario } from "./scenario.ts";

/** How a plain body goes out. */
export interface PlainBody {
  readonly steps: Iterable<Step>;
  /** Absent when the length is not known beforehand. */
  readonly bodyBytes?: number;
  readonly sendsHeadersEarly: boolean;
}

const BLANK_LINES = "\n".repeat(5);
const ENDLESS_PIECE = "a".repeat(16_384);

/** Times a plain body as the scenario says and bends it by the fault. */
export function plainSteps(fault: Fault | null, body: string, scenario: Scenario): PlainBody {
  const queue = queueSteps(scenario);
  const wait: Step = { kind: "until", ms: scenario.plainMs ?? scenario.ttftMs };
  const tail = openEnd(fault, body);
  if (tail !== undefined) {
    return { steps: chain(queue, wait, tail), sendsHeadersEarly: true };
  }
  const bent = bentBody(fault, body);
  const steps = chain(queue, wait, [bytes(bent)]);
  if (queue.length > 0 || fault?.kind === "echo") return { steps, sendsHeadersEarly: queue.length > 0 };
  return { steps, bodyBytes: Buffer.byteLength(bent), sendsHeadersEarly: false };
}

function* chain(queue: readonly Step[], wait: Step, tail: Iterable<Step>): Generator<Step> {
  yield* queue;
  yield wait;
  yield* tail;
}

function queueSteps({ queueBlankLines }: Scenario): readonly Step[] {
  if (queueBlankLines === null) return [];
  return Array.from({ length: queueBlankLines.count }, (_, at): Step[] => [
    { kind: "until", ms: (at + 1) * queueBlankLines.everyMs },
    bytes("\n"),
  ]).flat();
}

/** Bodies that never end. */
function openEnd(fault: Fault | null, body: string): Iterable<Step> | undefined {
  switch (fault?.kind) {
    case "hang-headers":
      return [{ kind: "hang" }];
    case "stall":
      return [bytes(body.slice(0, body.length / 2)), { kind: "hang" }];
    case "endless-line":
    case "endless-stream":
      return endless();
    default:
      return undefined;
  }
}

function* endless(): Generator<Step> {
  yield bytes('{"id":"chatcmpl-endless","choices":[{"index":0,"message":{"role":"assistant","content":"');
  for (;;) yield bytes(ENDLESS_PIECE);
}

function bentBody(fault: Fault | null, body: string): string {
  switch (fault?.kind) {
    case "blank":
      return "";
    case "blank-lines-only":
      return BLANK_LINES;
    case "multi-json-body":
      return `${body}\n${body}`;
    case "garbage-event":
      return body.slice(0, body.length / 2);
    case "error-event":
    case "error-first":
      return errorJson("The simulator was told to fail here.", "server_error", "server_error");
    default:
      return body;
  }
}

function bytes(text: string): Step {
  return { kind: "bytes", bytes: text, isEvent: false };
}
