/** All that is stored of one request. */
import type { LedgerReceipt } from "../ledger/state.ts";
import type { AttemptRow, RequestRow } from "./row.ts";

/** A request without its attempts, as the table has it. */
export interface StoredRequest extends Omit<
  RequestRow,
  "endReason" | "marks" | "usage" | "basis" | "chargeNanos" | "costNanos" | "attempts"
> {
  readonly endReason: string;
  /** Separated by commas. */
  readonly marks: string;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly basis: string;
  readonly chargeNanos: bigint | null;
  readonly costNanos: bigint | null;
}

/** One try at an upstream, as the table has it. */
export interface StoredAttempt extends Omit<AttemptRow, "usage"> {
  readonly requestId: string;
  readonly inputTokens: number | null;
  readonly cachedInputTokens: number | null;
  readonly cacheWriteTokens: number | null;
  readonly outputTokens: number | null;
  readonly reasoningTokens: number | null;
}

/** A request with its attempts and its transfers. */
export interface RequestFile {
  /** Null while the request runs, or if the process that served it has just died. */
  readonly request: StoredRequest | null;
  readonly attempts: readonly StoredAttempt[];
  /** Null if no money was set aside. */
  readonly receipt: LedgerReceipt | null;
  /** JSON of the price's version, or null. */
  readonly price: string | null;
}

/** Finds requests again. Adapters live in `store/`. */
export interface RequestFiles {
  /** Null if there is no such request, or if it belongs to another account. Rejects if the store does not answer. */
  requestFile(id: string, accountId: string): Promise<RequestFile | null>;
}
