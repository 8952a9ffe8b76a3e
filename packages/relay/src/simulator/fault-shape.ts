import type { Fault } from "./fault.ts";
import type { BodyShape } from "./outlet.ts";
import type { Scenario } from "./scenario.ts";

const TINY_COUNT = 20_000;
const EVENT_BYTES_GUESS = 100;

/** What the transport does to the body under this fault. */
export function bodyShape(fault: Fault | null, scenario: Scenario): BodyShape {
  const slow: BodyShape = scenario.oneBytePerWrite ? { byteEveryMs: 0 } : {};
  switch (fault?.kind) {
    case "cut":
      return { ...slow, cut: { bytes: fault.bytes, end: "fin" } };
    case "rst":
      return { ...slow, cut: { bytes: fault.bytes, end: "rst" } };
    case "drip":
      return { byteEveryMs: fault.everyMs };
    case "tiny-chunks":
      return { tinyChunks: true };
    case "close-delimited":
      return {
        ...slow,
        closeDelimited: true,
        ...(fault.cutAtBytes === undefined ? {} : { cut: { bytes: fault.cutAtBytes, end: "fin" } }),
      };
    default:
      return slow;
  }
}

/** The scenario that a fault needs in order to show: some are only a way of answering. */
export function faultyScenario(fault: Fault | null, scenario: Scenario): Scenario {
  switch (fault?.kind) {
    case "no-done":
      return { ...scenario, done: false };
    case "no-finish":
      return { ...scenario, finishReason: null };
    case "tiny-chunks":
      // Each event has at least this many bytes, so there are at least as many chunks as asked for.
      return {
        ...scenario,
        text: null,
        events: Math.ceil((fault.count ?? TINY_COUNT) / EVENT_BYTES_GUESS),
        eventBytes: EVENT_BYTES_GUESS,
      };
    default:
      return scenario;
  }
}
