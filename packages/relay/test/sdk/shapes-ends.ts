/** How a failed stream can end, with an upstream as the server. */
import { event, events, ROLE, shapeMaker, text } from "./shape.ts";
import type { Shape } from "./shape.ts";

const make = shapeMaker("ends", "Héllo");

const TWO = events(ROLE, text("Hé"));
const BOOM = event('{"error":{"message":"boom","type":"server_error","param":null,"code":null}}');

export const END_SHAPES: readonly Shape[] = [
  make("end-error-clean", "error event, clean end", [...TWO, BOOM], { code: "upstream_failed" }),
  make("end-error-fin", "error event, FIN without the terminating chunk", [...TWO, BOOM], { end: "fin", code: "upstream_failed" }),
  make("end-error-rst", "error event, socket destroyed at once", [...TWO, BOOM], { end: "rst", code: "upstream_failed" }),
  make("end-error-rst-later", "error event, socket destroyed after 50 ms", [...TWO, BOOM, { text: "", afterMs: 50 }], {
    end: "rst",
    code: "upstream_failed",
  }),
  make("end-nothing-clean", "nothing, clean end", TWO, { code: "upstream_truncated" }),
  make("end-nothing-fin", "nothing, FIN without the terminating chunk", TWO, { end: "fin", code: "upstream_truncated" }),
  make("end-nothing-rst", "nothing, socket destroyed", TWO, { end: "rst", code: "upstream_truncated" }),
  make("end-whole-fin", "the whole text and no [DONE], FIN without the terminating chunk", [...TWO, event(text("llo"))], {
    end: "fin",
    code: "upstream_truncated",
  }),
];
