/** What receipts and the control API show alike of a request. */
import { money } from "@millrace/wire/money-json";
import type { MoneyMembers } from "@millrace/wire/money-json";
import { isoOf } from "../basics/iso-time.ts";
import type { Correction, Hold } from "../ledger/state.ts";
import { endpointNames } from "./endpoint-names.ts";
import type { StoredRequest } from "./request-file.ts";

interface Tokens<T> {
  readonly inputTokens: T;
  readonly cachedInputTokens: T;
  readonly cacheWriteTokens: T;
  readonly outputTokens: T;
  readonly reasoningTokens: T;
}

interface TokensView<T> {
  input_tokens: T;
  cached_input_tokens: T;
  cache_write_tokens: T;
  output_tokens: T;
  reasoning_tokens: T;
}

/** Token counts, of one request or summed up. */
export function shownTokens<T>(of: Tokens<T>): TokensView<T> {
  return {
    input_tokens: of.inputTokens,
    cached_input_tokens: of.cachedInputTokens,
    cache_write_tokens: of.cacheWriteTokens,
    output_tokens: of.outputTokens,
    reasoning_tokens: of.reasoningTokens,
  };
}

interface EndView extends ReturnType<typeof endpointNames> {
  stream: boolean;
  status: number;
  end_reason: string;
  error_code: string | null;
  marks: string[];
  revision: number | null;
}

/** What the client asked for, and how the request ended. */
export function shownEnd(request: StoredRequest): EndView {
  return {
    ...endpointNames(request.endpoint),
    stream: request.isStream,
    status: request.status,
    end_reason: request.endReason,
    error_code: request.errorCode,
    marks: request.marks === "" ? [] : request.marks.split(","),
    revision: request.revision,
  };
}

/** The charge of a hold including its correction, in nano-USD; null while the hold is open. */
export function chargedWith(hold: Pick<Hold, "chargedNanos">, correction: Correction | null): bigint | null {
  return hold.chargedNanos === null ? null : hold.chargedNanos + (correction?.deltaNanos ?? 0n);
}

/** The part of a hold's cost beyond the balance, in nano-USD. A correction replaces it. */
export function writtenOffWith(hold: Pick<Hold, "writtenOffNanos">, correction: Correction | null): bigint {
  return correction?.writtenOffNanos ?? hold.writtenOffNanos;
}

type CorrectionView = MoneyMembers<"cost" | "delta", string> & { created_at: string };

export function shownCorrection(correction: Correction | null): CorrectionView | null {
  if (correction === null) return null;
  const { costNanos, deltaNanos, createdAtMs } = correction;
  return { ...money("cost", costNanos), ...money("delta", deltaNanos), created_at: isoOf(createdAtMs) };
}
