import { describe, expect, test } from "vitest";
import { ERROR_CODES } from "@millrace/wire/error-codes";
import type { AttemptReport } from "../../src/chat/attempt.ts";
import type { AttemptFailure } from "../../src/chat/attempt-failure.ts";
import type { AttemptOutcome } from "../../src/chat/body-reader.ts";
import type { CancellationCause } from "../../src/chat/cancellation.ts";
import { conclude } from "../../src/chat/conclusion.ts";
import type { Facts } from "../../src/chat/conclusion.ts";
import { Meter } from "../../src/chat/meter.ts";
import { relayError } from "../../src/chat/relay-error.ts";
import { END_REASONS } from "../../src/insight/row.ts";
import type { FailureKind, Usage } from "../../src/provider/provider.ts";

const USAGE: Usage = { input: 3, cachedInput: 0, cacheWrite: 0, output: 5, reasoning: 0 };
const FAILURE_KINDS: readonly FailureKind[] = ["caller", "throttled", "credential", "model", "redirect", "timeout", "connect", "failed"];

function failure(kind: FailureKind): AttemptFailure {
  return { kind, upstream: "a", status: 400, detail: "answered 400", error: null, wasSent: true, retryAfterMs: null };
}

const OUTCOMES: readonly AttemptOutcome[] = [
  { kind: "complete", marks: ["mended"], rest: null },
  ...(["upstream_truncated", "upstream_stalled", "upstream_timeout", "upstream_failed"] as const).map((code): AttemptOutcome => ({
    kind: "broken",
    code,
    detail: "was silent",
    note: null,
  })),
  { kind: "cancelled" },
  ...FAILURE_KINDS.map((kind): AttemptOutcome => ({ kind: "failed", failure: failure(kind) })),
];

function report(
  outcome: AttemptOutcome,
  output: number,
  usage: Usage | null,
  wasSent: boolean,
  finishReason: string | null,
): Facts["reports"][number] {
  const times: AttemptReport["times"] = { startedAt: 1, sentAt: wasSent ? 2 : null, firstByteAt: 3, endedAt: 4 };
  return {
    planned: { upstream: "a", model: "m", reason: "order" },
    outcome,
    times,
    meter: { ...new Meter(0).read(), output, usage, finishReason },
  };
}

const CAUSES: readonly (CancellationCause | null)[] = [
  null,
  { by: "client" },
  { by: "bug", error: relayError("internal_error", "") },
  ...(["relay_stopped", "key_revoked", "insufficient_credits", "budget_exceeded", "store_unavailable"] as const).map(
    (code): CancellationCause => ({ by: "relay", error: relayError(code, "") }),
  ),
];

/** After a client has left, the relay may still end its answer. */
const ENDS: readonly Pick<Facts, "cause" | "isEndedByRelay">[] = [
  ...CAUSES.map((cause) => ({ cause, isEndedByRelay: cause !== null && cause.by !== "client" })),
  { cause: { by: "client" }, isEndedByRelay: true },
];

const REPORTS: readonly Facts["reports"][] = OUTCOMES.flatMap((outcome) =>
  [0, 7].flatMap((output) =>
    [null, USAGE].flatMap((usage) =>
      [true, false].flatMap((wasSent) =>
        [null, "stop", "length", "content_filter", "tool_calls", "function_call"].map((reason) => [
          report(outcome, output, usage, wasSent, reason),
        ]),
      ),
    ),
  ),
);

/** Everything that can be known of a request that is over. */
const COMBINATIONS: readonly Facts[] = [true, false].flatMap((isStream) =>
  ENDS.flatMap((end) => [
    { ...end, isStream, refusal: null, reports: [] },
    { ...end, isStream, refusal: relayError("overloaded", ""), reports: [] },
    ...REPORTS.map((reports) => ({ ...end, isStream, refusal: null, reports })),
  ]),
);

describe("a conclusion", () => {
  test("is drawn from every combination, in words of the closed lists", () => {
    expect(COMBINATIONS.length).toBeGreaterThan(5_000);
    for (const facts of COMBINATIONS) {
      const { endReason, errorCode } = conclude(facts);
      expect(END_REASONS).toContain(endReason);
      if (errorCode !== null) expect(ERROR_CODES).toContain(errorCode);
    }
  });

  test("has an error for the client unless the answer is whole or the client left, and never one beside a good end", () => {
    for (const facts of COMBINATIONS) {
      const { endReason, errorCode, clientError } = conclude(facts);
      const isGood = ["complete", "length", "content_filter", "tool_calls"].includes(endReason);
      expect(clientError === null).toBe(isGood || endReason === "client_gone");
      expect(errorCode === null).toBe(clientError === null);
      const isWhole = facts.cause === null && facts.refusal === null && facts.reports.at(-1)?.outcome.kind === "complete";
      expect(isGood).toBe(isWhole);
    }
  });

  test("lets the first cause of an end decide, whatever the upstream did", () => {
    for (const facts of COMBINATIONS) {
      const { cause, refusal } = facts;
      if (cause === null || (refusal !== null && cause.by !== "bug")) continue;
      const code = cause.by === "client" ? null : cause.error.code;
      const endReason = code === null ? "client_gone" : code === "budget_exceeded" ? "insufficient_credits" : code;
      expect(conclude(facts)).toMatchObject({ endReason, errorCode: code, marks: [] });
    }
  });

  test("tells a refusal that was known, whoever left or ended the request meanwhile", () => {
    const refused = COMBINATIONS.filter(({ refusal, cause }) => refusal !== null && cause?.by !== "bug");
    expect(refused.length).toBeGreaterThan(10);
    for (const facts of refused) expect(conclude(facts)).toMatchObject({ endReason: "refused", errorCode: "overloaded", basis: "none" });
  });

  test("charges nothing before an upstream worked, what was delivered where the relay ended it, and else by the upstream's count", () => {
    for (const facts of COMBINATIONS) {
      const { basis } = conclude(facts);
      const last = facts.reports.at(-1);
      const { isEndedByRelay } = facts;
      if (last === undefined) expect(basis).toBe("none");
      else if (isEndedByRelay) expect(basis).toBe(facts.isStream && last.meter.output > 0 ? "delivery" : "none");
      else if (last.meter.usage !== null) expect(basis).toBe("upstream");
      else if (last.outcome.kind === "failed" || last.times.sentAt === null) expect(basis).toBe("none");
      else if (last.outcome.kind === "broken") expect(basis).toBe(last.meter.output === 0 ? "none" : "upstream");
      else expect(basis).toBe("upstream");
    }
  });

  const one = (outcome: AttemptOutcome, reason: string | null = null): Facts => ({
    isStream: true,
    cause: null,
    isEndedByRelay: false,
    refusal: null,
    reports: [report(outcome, 7, null, true, reason)],
  });

  test.each([
    ["stop", "complete"],
    [null, "complete"],
    ["length", "length"],
    ["content_filter", "content_filter"],
    ["tool_calls", "tool_calls"],
    ["function_call", "tool_calls"],
  ])("names a whole answer by its finish reason: %s is %s", (reason, endReason) => {
    expect(conclude(one({ kind: "complete", marks: ["mended"], rest: null }, reason))).toMatchObject({ endReason, marks: ["mended"] });
  });

  test.each([
    ["caller", "refused", "invalid_request"],
    ["throttled", "refused", "rate_limited"],
    ["credential", "upstream_failed", "upstream_failed"],
    ["model", "upstream_failed", "upstream_failed"],
    ["redirect", "upstream_failed", "upstream_redirect"],
    ["timeout", "upstream_timeout", "upstream_timeout"],
    ["connect", "upstream_failed", "upstream_failed"],
    ["failed", "upstream_failed", "upstream_failed"],
  ] as const)("an upstream that fails before output (%s) ends the request as %s with %s", (kind, endReason, errorCode) => {
    expect(conclude(one({ kind: "failed", failure: failure(kind) }))).toMatchObject({ endReason, errorCode });
  });

  test("a retry stands for the tries before it: an upstream is named once", () => {
    const first = report({ kind: "failed", failure: failure("connect") }, 0, null, false, null);
    const facts: Facts = {
      isStream: true,
      cause: null,
      isEndedByRelay: false,
      refusal: null,
      reports: [first, { ...first }, { ...first }],
    };
    expect(conclude(facts).clientError?.message).toBe("No upstream gave an answer: a answered 400.");
  });

  test("an attempt that was cancelled without a cause is a mistake of the relay's own", () => {
    expect(conclude(one({ kind: "cancelled" }))).toMatchObject({ endReason: "internal_error", errorCode: "internal_error" });
  });
});
