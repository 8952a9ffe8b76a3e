/** A request as its account may see it: the tokens used, the price, the arithmetic, and the transfers. */
import { costOf, priceIn } from "@millrace/policy/price";
import { priceFromJson } from "@millrace/policy/price-json";
import { money, moneyOrNull } from "@millrace/wire/money-json";
import { isoOf } from "../basics/iso-time.ts";
import type { LotMove, Transfer } from "../ledger/state.ts";
import type { RequestFile, StoredRequest } from "./request-file.ts";
import { chargedWith, shownCorrection, shownEnd, shownTokens, writtenOffWith } from "./request-views.ts";

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
  const isPaid = hold !== null && hold.walletId !== null;
  return {
    id,
    object: "request",
    created_at: isoOf(request?.at ?? hold?.createdAtMs ?? null),
    model: request?.model ?? hold?.model ?? null,
    key_id: request?.keyId ?? hold?.keyId ?? null,
    ...(request === null ? { end_reason: hold?.endReason ?? null } : { ...shownEnd(request), usage: shownTokens(request) }),
    basis: request?.basis ?? (correction === null ? (hold?.basis ?? null) : "exact"),
    ...moneyOrNull("charge", isPaid ? chargedWith(hold, correction) : null),
    price: request === null || file.price === null ? null : shownPrice(file.price, request),
    hold:
      hold === null
        ? null
        : {
            state: hold.state,
            mode: hold.mode,
            ...money("amount", hold.amountNanos),
            ...money("written_off", writtenOffWith(hold, correction)),
            created_at: isoOf(hold.createdAtMs),
            closed_at: isoOf(hold.closedAtMs),
          },
    correction: shownCorrection(correction),
    transfers: (receipt?.transfers ?? []).map((transfer) => shownTransfer(transfer, receipt?.lotMoves ?? [])),
  };
}

/** Amounts are decimal text. */
export interface ReceiptPrice {
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
export function shownPrice(json: string, request: StoredRequest): ReceiptPrice | null {
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
    effective_from: isoOf(version.effectiveFromMs),
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
    ...money("per_request", cost.perRequestNanos),
    ...money("cost", cost.chargeNanos),
  };
}

function shownTransfer(transfer: Transfer, moves: readonly LotMove[]): Record<string, unknown> {
  return {
    id: transfer.id,
    code: transfer.code,
    debit: transfer.debit,
    credit: transfer.credit,
    ...money("amount", transfer.amountNanos),
    ...moneyOrNull("balance_after", transfer.balanceAfterNanos),
    created_at: isoOf(transfer.createdAtMs),
    lots: moves.filter((move) => move.transferId === transfer.id).map((move) => ({ lot: move.lotId, ...money("delta", move.deltaNanos) })),
  };
}

/** A whole number of `digits` decimals, without trailing zeros. */
function decimal(value: bigint, digits: number): string {
  const text = value.toString().padStart(digits + 1, "0");
  return `${text.slice(0, -digits)}.${text.slice(-digits)}`.replace(/\.?0+$/, "");
}
