/** A request as its account may see it: what was used, at which price, how that adds up, and what moved. */
import { costOf, priceIn } from "@millrace/policy/price";
import { priceFromJson } from "@millrace/policy/price-json";
import { formatUsd, nanos } from "@millrace/wire/money";
import type { LotMove, Transfer } from "../ledger/state.ts";
import { endpointNames } from "./endpoint-names.ts";
import type { RequestFile, StoredRequest } from "./request-file.ts";

const ATTO_DIGITS = 18;
const KINDS = {
  input: "input",
  cachedInput: "cached_input",
  cacheWrite5m: "cache_write",
  cacheWrite1h: "cache_write_1h",
  output: "output",
  reasoning: "reasoning",
} as const;

/** Amounts are USD as decimal text, and the same in nano-USD as text. */
export function shownReceipt(id: string, file: RequestFile): Record<string, unknown> {
  const { request, receipt } = file;
  const hold = receipt?.hold ?? null;
  const correction = receipt?.correction ?? null;
  const isCharged = hold !== null && hold.walletId !== null && hold.chargedNanos !== null;
  const charged = isCharged ? (hold.chargedNanos ?? 0n) + (correction?.deltaNanos ?? 0n) : null;
  return {
    id,
    object: "request",
    created_at: time(request?.at ?? hold?.createdAtMs ?? null),
    model: request?.model ?? hold?.model ?? null,
    key_id: request?.keyId ?? hold?.keyId ?? null,
    ...(request === null ? { end_reason: hold?.endReason ?? null } : shownRequest(request)),
    basis: request?.basis ?? (correction === null ? (hold?.basis ?? null) : "exact"),
    ...amount("charge", charged),
    price: request === null || file.price === null ? null : shownPrice(file.price, request),
    hold:
      hold === null
        ? null
        : {
            state: hold.state,
            mode: hold.mode,
            ...amount("amount", hold.amountNanos),
            ...amount("written_off", correction?.writtenOffNanos ?? hold.writtenOffNanos),
            created_at: time(hold.createdAtMs),
            closed_at: time(hold.closedAtMs),
          },
    correction:
      correction === null
        ? null
        : { ...amount("cost", correction.costNanos), ...amount("delta", correction.deltaNanos), created_at: time(correction.createdAtMs) },
    transfers: (receipt?.transfers ?? []).map((transfer) => shownTransfer(transfer, receipt?.lotMoves ?? [])),
  };
}

function shownRequest(request: StoredRequest): Record<string, unknown> {
  return {
    ...endpointNames(request.endpoint),
    stream: request.isStream,
    status: request.status,
    end_reason: request.endReason,
    error_code: request.errorCode,
    marks: request.marks === "" ? [] : request.marks.split(","),
    usage: {
      input_tokens: request.inputTokens,
      cached_input_tokens: request.cachedInputTokens,
      cache_write_tokens: request.cacheWriteTokens,
      output_tokens: request.outputTokens,
      reasoning_tokens: request.reasoningTokens,
    },
  };
}

/** Amounts are decimal text. */
export interface PriceView {
  readonly id: string;
  readonly effective_from: string | null;
  readonly window: string | null;
  readonly above_input_tokens: number | null;
  readonly markup_ppm: string;
  readonly lines: { kind: string; tokens: number; usd_per_million_tokens: string; usd: string }[];
  readonly exact: string;
  readonly per_request: string;
  readonly per_request_nanos: string;
  readonly cost: string;
  readonly cost_nanos: string;
}

/** The arithmetic: tokens x price for each kind, their exact sum, and the one rounding up to a nano-dollar. */
export function shownPrice(json: string, request: StoredRequest): PriceView | null {
  const version = priceFromJson(JSON.parse(json));
  const price = priceIn([version], request.at);
  if (price === null) return null;
  const cost = costOf(price, {
    input: request.inputTokens,
    cachedInput: request.cachedInputTokens,
    cacheWrite: request.cacheWriteTokens,
    output: request.outputTokens,
    reasoning: request.reasoningTokens,
  });
  return {
    id: version.id,
    effective_from: time(version.effectiveFromMs),
    window: cost.window,
    above_input_tokens: cost.bandAbove,
    markup_ppm: String(version.markupPpm),
    lines: cost.parts.map((part) => ({
      kind: KINDS[part.kind],
      tokens: Number(part.tokens),
      usd_per_million_tokens: decimal(part.price, 6),
      usd: decimal(part.exactAtto, ATTO_DIGITS),
    })),
    exact: decimal(cost.exactAtto, ATTO_DIGITS),
    ...amount("per_request", cost.perRequestNanos),
    ...amount("cost", cost.chargeNanos),
  };
}

function shownTransfer(transfer: Transfer, moves: readonly LotMove[]): Record<string, unknown> {
  return {
    id: transfer.id,
    code: transfer.code,
    debit: transfer.debit,
    credit: transfer.credit,
    ...amount("amount", transfer.amountNanos),
    ...amount("balance_after", transfer.balanceAfterNanos),
    created_at: time(transfer.createdAtMs),
    lots: moves.filter((move) => move.transferId === transfer.id).map((move) => ({ lot: move.lotId, ...amount("delta", move.deltaNanos) })),
  };
}

function amount<N extends string, V extends bigint | null>(name: N, value: V): { [K in N | `${N}_nanos`]: V extends null ? null : string };
function amount(name: string, value: bigint | null): Record<string, string | null> {
  return { [name]: value === null ? null : formatUsd(nanos(value)), [`${name}_nanos`]: value === null ? null : String(value) };
}

function time(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** A whole number of `digits` decimals, without trailing zeros. */
function decimal(value: bigint, digits: number): string {
  const text = value.toString().padStart(digits + 1, "0");
  return `${text.slice(0, -digits)}.${text.slice(-digits)}`.replace(/\.?0+$/, "");
}
