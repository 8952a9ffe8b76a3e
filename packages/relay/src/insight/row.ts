/** What the relay keeps of every request: one row, and one row for each attempt. It never keeps prompts or answers. */
import type { OperationOf } from "../ledger/operation.ts";
import type { Basis } from "../ledger/state.ts";
import type { Usage } from "../provider/provider.ts";

/** How a request ended. A closed list; each has a line in the documentation. */
export const END_REASONS = [
  "complete",
  "length",
  "content_filter",
  "tool_calls",
  "client_gone",
  "upstream_truncated",
  "upstream_stalled",
  "upstream_failed",
  "upstream_timeout",
  "insufficient_credits",
  "key_revoked",
  "store_unavailable",
  "relay_stopped",
  "internal_error",
  "refused",
] as const;

export type EndReason = (typeof END_REASONS)[number];

/** What was unusual about a request that the relay answered nevertheless. A closed list; the documentation has a line for each. */
export const MARKS = ["missing_done", "missing_finish_reason", "malformed_skipped", "mended", "redacted", "unpriced", "recovered"] as const;

export type Mark = (typeof MARKS)[number];

export interface RequestRow {
  readonly id: string;
  /** Wall clock, milliseconds since the epoch. */
  readonly at: number;
  readonly accountId: string;
  readonly keyId: string;
  readonly endpoint: string;
  readonly model: string;
  readonly upstream: string | null;
  readonly upstreamModel: string | null;
  readonly isStream: boolean;
  /** Status that the client got; 499 when it left before there was one. */
  readonly status: number;
  readonly endReason: EndReason;
  readonly errorCode: string | null;
  readonly marks: readonly Mark[];
  readonly usage: Usage;
  /** Where the token counts come from. */
  readonly basis: Basis;
  /** Version of the price that was pinned by the hold; null for accounts that do not pay. */
  readonly priceId: string | null;
  /** Nano-USD as decimal text: what the account was charged, and what the upstreams cost us; null where unknown or not metered. */
  readonly chargeNanos: string | null;
  readonly costNanos: string | null;
  readonly events: number;
  readonly bytesOut: number;
  /** Times in milliseconds; null if the moment never came. */
  readonly ttftMs: number | null;
  readonly itlMeanMs: number | null;
  readonly itlMaxMs: number | null;
  readonly overheadMs: number | null;
  readonly durationMs: number;
  /** Number of the configuration that decided everything about the request; null if nobody knows it any more. */
  readonly revision: number | null;
  readonly attempts: readonly AttemptRow[];
}

/** The tokens of a request that used none. */
export const NO_USAGE: Usage = { input: 0, cachedInput: 0, cacheWrite: 0, output: 0, reasoning: 0 };

/** A request that no upstream saw: no tokens, no money, nothing measured. */
const UNANSWERED = {
  upstream: null,
  upstreamModel: null,
  marks: [],
  usage: NO_USAGE,
  basis: "none",
  priceId: null,
  chargeNanos: null,
  costNanos: null,
  events: 0,
  bytesOut: 0,
  ttftMs: null,
  itlMeanMs: null,
  itlMaxMs: null,
  overheadMs: null,
  attempts: [],
} as const satisfies Partial<RequestRow>;

/** The facts that every request has, and optional ones. */
type RowFacts = Omit<RequestRow, keyof typeof UNANSWERED> & Partial<RequestRow>;

/** The row of a request, from the known facts. The fields left out get the values of a request that no upstream saw. */
export function requestRow(facts: RowFacts): RequestRow {
  return { ...UNANSWERED, ...facts };
}

export interface AttemptRow {
  readonly n: number;
  readonly upstream: string;
  readonly upstreamModel: string;
  /** `ok`, `cancelled`, or a word for the failure. */
  readonly outcome: string;
  readonly status: number | null;
  /** A machine's word or a short redacted text. */
  readonly detail: string | null;
  /** The upstream's own request id. */
  readonly upstreamRequestId: string | null;
  readonly usage: Usage | null;
  readonly ttftMs: number | null;
  readonly durationMs: number;
}

/** How a request's hold ends; it is stored together with the request's row. */
export type Ending = OperationOf<"settle"> | OperationOf<"void">;

/** Where the row is when `record` has resolved. */
export type Recorded =
  /** Stored, and the hold with it. */
  | { readonly isStored: true; readonly chargedNanos: bigint | null; readonly writtenOffNanos: bigint }
  /** In the spool file on this machine's disk. The store writes it to the database, and ends the hold, when the database answers again. */
  | { readonly isStored: false };

/** Keeps rows. Adapters live in `store/`. */
export interface RowStore {
  /**
   * Resolves when the row and the end of its hold would survive the death of this process. Rejects if neither the database nor
   * the spool could take them.
   */
  record(row: RequestRow, ending?: Ending): Promise<Recorded>;
  /** False if too many rows wait for a new request to start. */
  readonly hasRoom: boolean;
  readonly waiting: number;
}
