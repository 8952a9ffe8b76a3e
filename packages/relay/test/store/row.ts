/** A row of a request that went well, for tests of what keeps rows. */
import type { RequestRow } from "../../src/insight/row.ts";

const usage = { input: 3, cachedInput: 1, cacheWrite: 0, output: 4, reasoning: 2 };

export function row(id: string, more: Partial<RequestRow> = {}): RequestRow {
  return {
    id,
    at: 1_790_000_000_000,
    accountId: "default",
    keyId: "key_1",
    endpoint: "chat",
    model: "m",
    upstream: "a",
    upstreamModel: "m",
    isStream: true,
    status: 200,
    endReason: "complete",
    errorCode: null,
    marks: [],
    usage,
    basis: "exact",
    priceId: null,
    chargeNanos: null,
    costNanos: null,
    events: 5,
    bytesOut: 100,
    ttftMs: 1.5,
    itlMeanMs: 0.2,
    itlMaxMs: 1,
    overheadMs: 0.3,
    durationMs: 9,
    revision: 1,
    attempts: [
      {
        n: 1,
        upstream: "a",
        upstreamModel: "m",
        outcome: "ok",
        status: 200,
        detail: null,
        upstreamRequestId: null,
        usage,
        ttftMs: 1,
        durationMs: 8,
      },
    ],
    ...more,
  };
}
