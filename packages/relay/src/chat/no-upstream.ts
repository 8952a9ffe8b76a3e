/** What a client is told when no upstream of its model could be asked. */
import type { ShareRefusal } from "@millrace/policy/fair-share";
import { IN_FLIGHT_WAIT_MS } from "@millrace/policy/limit";
import type { SkippedRoute } from "@millrace/policy/plan";
import { clampRetryAfter, relayError } from "./relay-error.ts";
import type { RelayError } from "./relay-error.ts";

/** @param skipped every upstream of the model, with the reason why it was not asked. */
export function noUpstream(skipped: readonly SkippedRoute[]): RelayError {
  const waits = skipped.map((route) => route.forMs);
  if (skipped.length > 0 && skipped.every((route) => route.reason === "throttled"))
    return relayError("rate_limited", "Every upstream of this model asks for patience.", {
      retryAfterS: clampRetryAfter(Math.min(...waits)),
    });
  for (const route of skipped) if (route.reason === "share") return shareError(route.upstream, route.share);
  if (skipped.some((route) => route.reason === "full"))
    return relayError("overloaded", "Every upstream of this model has as many calls in flight as it may.", { retryAfterS: 1 });
  return relayError("no_upstream", "No upstream of this model is usable right now.", {
    retryAfterS: clampRetryAfter(Math.min(...waits, 60_000)),
  });
}

/** Others may still call: the caller alone has to wait, so this is no overload. */
function shareError(upstream: string, { reason, bound, allotment }: ShareRefusal): RelayError {
  const rest = reason === "account" ? "other accounts" : "other keys of this account";
  const message = `The limit max_in_flight of upstream ${upstream} is ${bound}, of which this ${reason} may have ${allotment} right now: so many of its requests are running, and the rest is kept for ${rest}. Let one end first.`;
  const quota = { kind: "in-flight", limit: String(allotment), remaining: "0", resetMs: IN_FLIGHT_WAIT_MS } as const;
  return relayError("too_many_in_flight", message, { retryAfterS: 1, retryAfterMs: IN_FLIGHT_WAIT_MS, quota });
}
