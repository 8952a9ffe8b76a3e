/** All that is stored of one request. */
import type { LedgerReceipt } from "../ledger/receipt.ts";

/** A request without its attempts, as the table has it. */
export interface StoredRequest {
  readonly id: string;
  readonly at: number;
  readonly accountId: string;
  readonly keyId: string;
  readonly door: string;
  readonly model: string;
  readonly upstream: string | null;
  readonly upstreamModel: string | null;
  readonly isStream: boolean;
  readonly status: number;
  readonly endReason: string;
  readonly errorCode: string | null;
  /** Separated by commas. */
  readonly marks: string;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly basis: string;
  readonly events: number;
  readonly bytesOut: number;
  readonly ttftMs: number | null;
  readonly itlMeanMs: number | null;
  readonly itlMaxMs: number | null;
  readonly overheadMs: number | null;
  readonly durationMs: number;
  readonly priceId: string | null;
  readonly chargeNanos: bigint | null;
  readonly costNanos: bigint | null;
}

/** One try at an upstream, as the table has it. */
export interface StoredAttempt {
  readonly requestId: string;
  readonly n: number;
  readonly upstream: string;
  readonly upstreamModel: string;
  readonly outcome: string;
  readonly status: number | null;
  readonly detail: string | null;
  readonly upstreamRequestId: string | null;
  readonly inputTokens: number | null;
  readonly cachedInputTokens: number | null;
  readonly cacheWriteTokens: number | null;
  readonly outputTokens: number | null;
  readonly reasoningTokens: number | null;
  readonly ttftMs: number | null;
  readonly durationMs: number;
}

/** A request with its attempts and what moved for it. */
export interface RequestFile {
  /** Null while it runs, or when the process that served it died a moment ago. */
  readonly request: StoredRequest | null;
  readonly attempts: readonly StoredAttempt[];
  /** Null where no money was set aside. */
  readonly receipt: LedgerReceipt | null;
  /** JSON of the price's version, or null. */
  readonly price: string | null;
}

/** Finds requests again. Adapters live in `store/`. */
export interface RequestFiles {
  /** Null when there is no such request, or it is another account's. Rejects when the store does not answer. */
  requestFile(id: string, accountId: string): Promise<RequestFile | null>;
}
