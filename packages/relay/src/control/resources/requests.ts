/** How requests ended: their rows, attempts and receipts. None of them holds a prompt or an answer. */
import { money, moneyOrNull } from "@millrace/wire/money-json";
import { isoOf } from "../../basics/iso-time.ts";
import * as z from "zod";
import { shownPrice } from "../../insight/receipt.ts";
import { chargedWith, shownCorrection, shownEnd, shownTokens, writtenOffWith } from "../../insight/request-views.ts";
import type { StoredAttempt, StoredRequest } from "../../insight/request-file.ts";
import type { LedgerReceipt } from "../../ledger/state.ts";
import { accountOfList, maySee } from "../access/caller.ts";
import type { Caller } from "../access/caller.ts";
import { shownTransfer, TransferShape } from "./money.ts";
import { MOMENT, pageOf, pageQuery, sliceOf } from "../http/page.ts";
import type { Page } from "../http/page.ts";
import type { ControlStore } from "../ports.ts";
import { instant, moneyOrNullShape, moneyShape, time, unknownId, tokensShape } from "../http/shapes.ts";

const word = z.string().min(1).max(256);

export const RequestsQuery = z.strictObject({
  ...pageQuery,
  account_id: word.optional(),
  key_id: word.optional(),
  model: word.optional(),
  status: z.coerce.number().int().min(0).max(999).optional(),
  end_reason: word.optional(),
  from: instant.optional(),
  to: instant.optional(),
});

const tokens = z.number().int();
const tokensOrNull = tokens.nullable();
const ms = z.number().nullable();

export const RequestShape = z.strictObject({
  id: z.string(),
  at: time,
  account_id: z.string(),
  key_id: z.string(),
  endpoint: z.string(),
  door: z.string().meta({ deprecated: true, description: "The old name of `endpoint`; the next version takes it away." }),
  model: z.string(),
  upstream: z.string().nullable(),
  upstream_model: z.string().nullable(),
  stream: z.boolean(),
  status: z.number().int(),
  end_reason: z.string(),
  error_code: z.string().nullable(),
  marks: z.array(z.string()),
  revision: z
    .number()
    .int()
    .nullable()
    .meta({ description: "Number of the configuration that decided everything about it; null for rows from before the numbers." }),
  ...tokensShape(tokens),
  basis: z.string(),
  price_id: z.string().nullable(),
  ...moneyOrNullShape("charge"),
  ...moneyOrNullShape("cost"),
  events: z.number().int(),
  bytes_out: z.number().int(),
  ttft_ms: ms,
  itl_mean_ms: ms,
  itl_max_ms: ms,
  overhead_ms: ms,
  duration_ms: z.number(),
});

const AttemptShape = z.strictObject({
  n: z.number().int(),
  upstream: z.string(),
  upstream_model: z.string(),
  outcome: z.string(),
  status: z.number().int().nullable(),
  detail: z.string().nullable(),
  upstream_request_id: z.string().nullable(),
  ...tokensShape(tokensOrNull),
  ttft_ms: ms,
  duration_ms: z.number(),
});

/** How the charge adds up: tokens times price for each kind, their exact sum, rounded up once. */
const PriceShape = z.strictObject({
  id: z.string(),
  effective_from: time.nullable(),
  window: z.string().nullable(),
  above_input_tokens: z.number().int().nullable(),
  markup_ppm: z.string(),
  lines: z.array(z.strictObject({ kind: z.string(), tokens: z.number().int(), usd_per_million_tokens: z.string(), usd: z.string() })),
  exact: z.string(),
  ...moneyShape("per_request"),
  ...moneyShape("cost"),
});

const ReceiptShape = z.strictObject({
  state: z.enum(["open", "settled", "voided", "recovered"]),
  mode: z.enum(["full", "sliding"]),
  price_id: z.string(),
  price: PriceShape.nullable(),
  ...moneyShape("amount"),
  /** With the correction counted in; null while it is open. */
  ...moneyOrNullShape("charged"),
  ...moneyShape("written_off"),
  basis: z.string().nullable(),
  created_at: time,
  closed_at: time.nullable(),
  correction: z.strictObject({ ...moneyShape("cost"), ...moneyShape("delta"), created_at: time }).nullable(),
  transfers: z.array(TransferShape),
  lot_moves: z.array(z.strictObject({ transfer_id: z.string(), lot_id: z.string(), ...moneyShape("delta") })),
});

export const RequestDetailShape = RequestShape.extend({ attempts: z.array(AttemptShape), receipt: ReceiptShape.nullable() });

export class Requests {
  readonly #store: Pick<ControlStore, "request" | "requests">;

  constructor(store: Pick<ControlStore, "request" | "requests">) {
    this.#store = store;
  }

  async list(caller: Caller, wish: z.output<typeof RequestsQuery>): Promise<Page<z.output<typeof RequestShape>>> {
    const accountId = accountOfList(caller, wish.account_id);
    if (accountId === null) return { data: [], next: null };
    const rows = await this.#store.requests({
      accountId,
      keyId: wish.key_id,
      model: wish.model,
      status: wish.status,
      endReason: wish.end_reason,
      fromMs: wish.from,
      toMs: wish.to,
      ...sliceOf(wish, MOMENT),
    });
    return pageOf(
      rows,
      wish,
      MOMENT,
      ({ at, id }) => ({ atMs: at, id }),
      (row) => shownRequest(caller, row),
    );
  }

  async show(caller: Caller, id: string): Promise<z.output<typeof RequestDetailShape>> {
    const detail = await this.#store.request(id);
    if (detail === null || !maySee(caller, detail.request.accountId)) throw unknownId("request", id);
    const { request, attempts, receipt } = detail;
    const price = detail.price === null ? null : shownPrice(detail.price, request);
    return {
      ...shownRequest(caller, request),
      attempts: attempts.map(shownAttempt),
      receipt: receipt === null ? null : shownReceipt(receipt, price),
    };
  }
}

/** Customers may not see what upstreams cost the owner. */
function shownRequest(caller: Caller, row: StoredRequest): z.output<typeof RequestShape> {
  return {
    id: row.id,
    at: isoOf(row.at),
    account_id: row.accountId,
    key_id: row.keyId,
    ...shownEnd(row),
    model: row.model,
    upstream: row.upstream,
    upstream_model: row.upstreamModel,
    ...shownTokens(row),
    basis: row.basis,
    price_id: row.priceId,
    ...moneyOrNull("charge", row.chargeNanos),
    ...moneyOrNull("cost", caller.role === "member" ? null : row.costNanos),
    events: row.events,
    bytes_out: row.bytesOut,
    ttft_ms: row.ttftMs,
    itl_mean_ms: row.itlMeanMs,
    itl_max_ms: row.itlMaxMs,
    overhead_ms: row.overheadMs,
    duration_ms: row.durationMs,
  };
}

function shownAttempt(row: StoredAttempt): z.output<typeof AttemptShape> {
  const { n, upstream, outcome, status, detail } = row;
  return {
    n,
    upstream,
    upstream_model: row.upstreamModel,
    outcome,
    status,
    detail,
    upstream_request_id: row.upstreamRequestId,
    ...shownTokens(row),
    ttft_ms: row.ttftMs,
    duration_ms: row.durationMs,
  };
}

function shownReceipt(
  { hold, correction, transfers, lotMoves }: LedgerReceipt,
  price: z.output<typeof PriceShape> | null,
): z.output<typeof ReceiptShape> {
  return {
    state: hold.state,
    mode: hold.mode,
    price_id: hold.priceId,
    price,
    ...money("amount", hold.amountNanos),
    ...moneyOrNull("charged", chargedWith(hold, correction)),
    ...money("written_off", writtenOffWith(hold, correction)),
    basis: correction === null ? hold.basis : "exact",
    created_at: isoOf(hold.createdAtMs),
    closed_at: isoOf(hold.closedAtMs),
    correction: shownCorrection(correction),
    transfers: transfers.map(shownTransfer),
    lot_moves: lotMoves.map(({ transferId, lotId, deltaNanos }) => ({
      transfer_id: transferId,
      lot_id: lotId,
      ...money("delta", deltaNanos),
    })),
  };
}
