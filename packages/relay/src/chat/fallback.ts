/** Tries the upstreams of a plan in order, until one has answered or nothing more may be tried. */
import { backoffMs } from "@millrace/policy/retry-budget";
import { passedOver } from "@millrace/policy/plan";
import type { Plan, PlannedAttempt, SkippedRoute } from "@millrace/policy/plan";
import type { CallOutcome, Health, Permit, NoPermit } from "../upstream/health.ts";
import type { Caller } from "../upstream/in-flight.ts";
import type { AttemptReport } from "./attempt.ts";
import type { AttemptOutcome } from "./body-reader.ts";
import type { Cancellation } from "./cancellation.ts";

/** Tries at the same upstream after a connection that never stood. */
const RETRIES_MAX = 2;

export interface FallbackParts {
  readonly health: Health;
  readonly caller: Caller;
  readonly cancellation: Cancellation;
  /** Makes one attempt, and takes its report down. */
  readonly attempt: (planned: PlannedAttempt) => Promise<AttemptReport>;
}

/**
 * A failed attempt makes room for the next upstream, unless the caller is at fault or the answer must end.
 * @returns the upstreams that were passed over, because they had no slot for this caller.
 */
export async function runFallback({ attempts }: Plan, parts: FallbackParts): Promise<readonly SkippedRoute[]> {
  const skipped: SkippedRoute[] = [];
  for (const planned of attempts) {
    const result = await tryUpstream(planned, attempts.length === 1, parts);
    if ("refused" in result) skipped.push(passedOver(planned, result.refused));
    else if (result.outcome.kind !== "failed" || result.outcome.failure.kind === "caller" || parts.cancellation.cause !== null) break;
  }
  return skipped;
}

/** One upstream; again only when it is the only one and no connection stood. */
async function tryUpstream(planned: PlannedAttempt, isOnly: boolean, parts: FallbackParts): Promise<AttemptReport | NoPermit> {
  const { health, caller, cancellation } = parts;
  let report: AttemptReport | null = null;
  for (let retries = 0; ; retries++) {
    const permit = health.admit(planned.upstream, caller, performance.now(), retries > 0);
    if ("refused" in permit) return report ?? permit;
    report = await withPermit(permit, () => parts.attempt(planned));
    const mayRetry = isOnly && retries < RETRIES_MAX && wasNeverConnected(report.outcome) && cancellation.cause === null;
    if (!mayRetry || !health.takeRetry(planned.upstream, performance.now())) return report;
    await cancellation.sleep(backoffMs(retries + 1, Math.random()));
    if (cancellation.cause !== null) return report;
  }
}

async function withPermit(permit: Permit, attempt: () => Promise<AttemptReport>): Promise<AttemptReport> {
  try {
    const report = await attempt();
    const { outcome } = report;
    permit.observe(taughtBy(outcome), performance.now(), outcome.kind === "failed" ? outcome.failure.retryAfterMs : null);
    return report;
  } finally {
    permit.release();
  }
}

function wasNeverConnected(outcome: AttemptOutcome): boolean {
  return outcome.kind === "failed" && outcome.failure.kind === "connect" && !outcome.failure.wasSent;
}

/** What an outcome teaches of the upstream. */
function taughtBy(outcome: AttemptOutcome): CallOutcome {
  switch (outcome.kind) {
    case "complete":
      return "ok";
    case "broken":
      return "cut";
    case "cancelled":
      return "not_theirs";
    case "failed":
      return taughtByFailure(outcome.failure.kind);
  }
}

function taughtByFailure(kind: Extract<AttemptOutcome, { kind: "failed" }>["failure"]["kind"]): CallOutcome {
  switch (kind) {
    case "caller":
      return "not_theirs";
    case "throttled":
    case "credential":
      return kind;
    case "connect":
      return "connect_failed";
    case "model":
    case "redirect":
    case "timeout":
    case "failed":
      return "failed_before_output";
  }
}
