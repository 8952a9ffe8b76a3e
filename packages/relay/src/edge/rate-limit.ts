/** Limits as clients meet them: the headers of every answer, and the refusals. */
import { durationText } from "@millrace/wire/duration";
import type { ServerResponse } from "node:http";
import type { LimitQuota, LimitStanding } from "@millrace/policy/limit";
import { WINDOW_WAIT_MS_MAX } from "@millrace/policy/limit-window";
import type { Lease, LimitedParty, Limiter, EntryRefusal } from "../admission/limits.ts";
import type { Grant } from "../admission/authorize.ts";
import type { Exchange } from "../chat/exchange.ts";
import { clampRetryAfter, relayError } from "../chat/relay-error.ts";
import type { RelayError } from "../chat/relay-error.ts";
import { estimateInput } from "../chat/estimate.ts";
import type { Snapshot } from "../chat/snapshot.ts";
import type { ClientRequest } from "../provider/provider.ts";

/** Whom the limits are asked for, by which configuration. */
export interface LimitedCaller {
  readonly limiter: Limiter;
  readonly grant: Grant;
  readonly snapshot: Snapshot;
}

/** How many tokens an answer counts for until it is over, if the client gave no maximum. */
const OUTPUT_TOKENS_GUESS = 1_000;
const RETRY_AFTER_MS_MAX = 60_000;

/** Writes what is left of the limits into the answer's headers, whatever the answer will be. */
export function showStanding(response: ServerResponse, caller: LimitedCaller, model?: string): void {
  const party = partyOf(caller);
  const standing = caller.limiter.standing(model === undefined ? party : { ...party, model }, performance.now());
  for (const [name, value] of Object.entries(standingHeaders(standing))) response.setHeader(name, value);
}

export type Entry = { readonly ok: true; readonly lease: Lease } | { readonly ok: false; readonly error: RelayError };

/** Asks the limits once for everything that the request will use. */
export function enter(
  caller: LimitedCaller,
  asked: { readonly request: ClientRequest; readonly textBytes: number },
  isAlive: () => boolean,
): Entry {
  const { limiter } = caller;
  const party = { ...partyOf(caller), model: asked.request.model };
  const tokensMin = limiter.isLimited(party) ? estimateInput(asked) : 0;
  const estimatedTokens = tokensMin + estimateOutput(asked.request);
  const admission = limiter.admit({ ...party, estimatedTokens, tokensMin, nowMs: performance.now(), isAlive });
  return admission.ok ? admission : { ok: false, error: refusalError(admission.refused) };
}

/** The request has its row. A client that got an error has it by now, and may send its next request before the row is on disk. */
export function settleLease(lease: Lease, row: Parameters<NonNullable<Exchange["onRow"]>>[0]): void {
  lease.settle(row.usage.input + row.usage.output);
  if (row.errorCode !== null) lease.release();
}

function partyOf({ grant: { key, account }, snapshot }: LimitedCaller): LimitedParty {
  const tiers = snapshot.config.limits ?? null;
  return { tiers, accountId: account.id, tier: account.tier, keyId: key.id, keyLimits: key.limits ?? undefined };
}

function estimateOutput(request: ClientRequest): number {
  return request.endpoint === "embeddings" ? 0 : (request.outputTokensMax ?? OUTPUT_TOKENS_GUESS) * request.answersMax;
}

function refusalError(refused: EntryRefusal): RelayError {
  switch (refused.kind) {
    case "limit":
      return limitError(refused);
    case "tier_unknown":
      return relayError("overloaded", "The configuration does not have the tier of this account.", { shouldRetry: false });
    case "crowded":
      return relayError("overloaded", "The relay already counts the limits of as many accounts, keys and models as it may.", {
        retryAfterS: 1,
      });
  }
}

function limitError({ name, dimension, limit, waitMs }: Extract<EntryRefusal, { kind: "limit" }>): RelayError {
  const code = dimension === "in_flight" ? "too_many_in_flight" : "rate_limited";
  const retryAfterMs = Math.min(Math.max(1, Math.ceil(waitMs)), RETRY_AFTER_MS_MAX);
  const wait = { retryAfterS: clampRetryAfter(retryAfterMs), retryAfterMs };
  if (waitMs > WINDOW_WAIT_MS_MAX)
    return relayError(code, `The limit ${name} is ${limit}, and this request alone is larger.`, { ...wait, shouldRetry: false });
  if (dimension === "in_flight") {
    const quota = { kind: "in-flight", limit: String(limit), remaining: "0", resetMs: retryAfterMs } as const;
    return relayError(code, `The limit ${name} is ${limit}: this many requests are running. Wait until one has ended.`, { ...wait, quota });
  }
  return relayError(code, `The limit ${name} is ${limit} in any minute. Try again in ${durationText(waitMs)}.`, wait);
}

function standingHeaders({ requests, tokens }: LimitStanding): Record<string, string> {
  return { ...quotaHeaders("requests", requests), ...quotaHeaders("tokens", tokens) };
}

function quotaHeaders(kind: "requests" | "tokens", quota: LimitQuota | null): Record<string, string> {
  if (quota === null) return {};
  return {
    [`x-ratelimit-limit-${kind}`]: String(quota.limit),
    [`x-ratelimit-remaining-${kind}`]: String(quota.remaining),
    [`x-ratelimit-reset-${kind}`]: durationText(quota.resetMs),
  };
}
