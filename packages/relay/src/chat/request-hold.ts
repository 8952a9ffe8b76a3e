/**
 * The money of one request. The relay sets its upper bound aside before it asks any upstream, and takes what was used before the
 * answer's last frame leaves. Budgets of keys and Idempotency-Keys hang on the same hold, so an account that does not pay has a
 * hold too where its request has one of them.
 */
import { createHash } from "node:crypto";
import { costNanos } from "@millrace/policy/price";
import type { BilledUsage, PriceAt, PriceVersion } from "@millrace/policy/price";
import { holdNanos } from "@millrace/policy/price-hold";
import { formatUsd, nanos } from "@millrace/wire/money";
import { budgetIdOf } from "../admission/keys.ts";
import type { KeyBudget } from "../admission/keys.ts";
import type { Ending, RequestRow } from "../insight/row.ts";
import { lesser } from "../ledger/nanos.ts";
import type { HoldMode } from "../ledger/state.ts";
import type { Operation, OperationOf, Refused, Result } from "../ledger/operation.ts";
import type { ClientRequest } from "../provider/provider.ts";
import type { Exchange } from "./exchange.ts";
import { clampRetryAfter, relayError } from "./relay-error.ts";
import type { RelayError } from "./relay-error.ts";
import { priceOf } from "./snapshot.ts";

/** What the hot path needs of money. */
export interface BillingPort {
  /** Keeps a version for receipts; false when it could not be stored. */
  pin(version: PriceVersion): Promise<boolean>;
  ask(operation: Operation): Promise<Result>;
}

/** What a hold is made for. */
export type HoldAsk = Pick<Exchange, "id" | "at" | "snapshot" | "account" | "key" | "request" | "model" | "mediaBytes" | "idempotencyKey">;

/** A hold that stands; null where the request needs none; or why the relay refuses it. */
export type Opened = { readonly ok: true; readonly hold: RequestHold | null } | { readonly ok: false; readonly error: RelayError };

/** Output tokens that a hold covers when neither the request nor the model names a maximum. */
const OUTPUT_TOKENS_DEFAULT = 8_192;
/** A sliding hold is extended by this many tokens of output at a time, where there is credit for them. */
const WINDOW_TOKENS = 2_048;
/** A hold assumes at most one token for two bytes of the prompt, and `INPUT_TOKENS_EXTRA` for what the upstream adds. */
const INPUT_BYTES_PER_TOKEN = 2;
const INPUT_TOKENS_EXTRA = 64;
/** The same for images and sounds in the body, as base64. */
const MEDIA_BYTES_PER_TOKEN = 256;
const RETRY_AFTER_S = 5;
/** The price that a hold names when nothing is charged. */
const NO_PRICE = "none";

/** Sets the request's upper bound aside. Nothing may be sent to an upstream before this has answered. */
export async function openHold(billing: BillingPort, asked: HoldAsk): Promise<Opened> {
  const { account, key, model, idempotencyKey } = asked;
  const budgets = key.budgets ?? [];
  const isCounted = account.isMetered || budgets.length > 0;
  if (!isCounted && idempotencyKey === null) return { ok: true, hold: null };
  const price = isCounted ? priceOf(asked.snapshot, model, asked.at) : null;
  if (isCounted && price === null) return { ok: false, error: noPrice(model.name, account.isMetered) };
  if (price !== null && !(await billing.pin(price.version))) return { ok: false, error: unavailable() };
  const scope = scopeOf(asked);
  const amountNanos = price === null ? 0n : amountOf(price, scope, scope.outputTokens);
  const result = await billing.ask({
    kind: "hold",
    id: asked.id,
    accountId: account.id,
    keyId: key.id,
    model: model.name,
    amountNanos,
    mode: scope.mode,
    isMetered: account.isMetered,
    budgetIds: budgets.map((budget) => budgetIdOf(key.id, budget.period)),
    priceId: price?.version.id ?? NO_PRICE,
    ...(idempotencyKey === null ? {} : { idempotency: { key: idempotencyKey, bodySha256: digestOf(asked.request) } }),
  });
  return result.ok
    ? { ok: true, hold: new RequestHold(billing, asked.id, price, scope, amountNanos) }
    : { ok: false, error: refusalOf(result, budgets) };
}

/** SHA-256 of the body and its endpoint: an Idempotency-Key that comes again with anything else is a mistake. */
function digestOf({ endpoint, body }: ClientRequest): string {
  return createHash("sha256").update(`${endpoint}\n`).update(body).digest("hex");
}

/** How far a hold reaches. */
interface Scope {
  readonly mode: HoldMode;
  readonly inputMax: number;
  /** Output tokens that the first hold covers. */
  readonly outputTokens: number;
  /** Output tokens that the hold may grow to cover; Infinity for no maximum. */
  readonly outputMax: number;
}

function scopeOf({ request, model, mediaBytes }: HoldAsk): Scope {
  const text = Math.ceil((request.body.length - mediaBytes) / INPUT_BYTES_PER_TOKEN);
  const inputMax = text + Math.ceil(mediaBytes / MEDIA_BYTES_PER_TOKEN) + INPUT_TOKENS_EXTRA;
  if (request.endpoint === "embeddings") return { mode: "full", inputMax, outputTokens: 0, outputMax: 0 };
  const said = request.outputTokensMax === null ? null : request.outputTokensMax * request.answersMax;
  // Without any maximum, a stream that outgrows its hold also waits until the hold has grown.
  const outputMax = said ?? Number.POSITIVE_INFINITY;
  if (model.hold === "sliding" && request.isStream)
    return { mode: "sliding", inputMax, outputTokens: Math.min(outputMax, WINDOW_TOKENS), outputMax };
  const whole = said ?? (model.outputTokensMax ?? OUTPUT_TOKENS_DEFAULT) * request.answersMax;
  return { mode: "full", inputMax, outputTokens: whole, outputMax };
}

function amountOf(price: PriceAt, { inputMax }: Scope, outputMax: number): bigint {
  return holdNanos(price.version, { inputMax, outputMax });
}

function noPrice(model: string, isMetered: boolean): RelayError {
  const who = isMetered ? "an account that pays" : "a key with a budget";
  return relayError("model_not_allowed", `The model ${JSON.stringify(model)} has no price, so ${who} cannot use it.`, { param: "model" });
}

function unavailable(): RelayError {
  return relayError("store_unavailable", "Money cannot be set aside right now; nothing was sent and nothing is charged.", {
    retryAfterS: RETRY_AFTER_S,
  });
}

function refusalOf(refused: Refused, budgets: readonly KeyBudget[] = []): RelayError {
  switch (refused.code) {
    case "insufficient_credits": {
      const available = refused.availableNanos === undefined ? "" : ` There are ${formatUsd(nanos(refused.availableNanos))} USD left.`;
      return relayError("insufficient_credits", `The account's credit does not cover what this request could cost.${available}`, {
        shouldRetry: false,
      });
    }
    // More than any balance can be.
    case "invalid_amount":
      return relayError("insufficient_credits", "This request could cost more than any account can have.", { shouldRetry: false });
    case "budget_exceeded":
      return budgetError(refused, budgets);
    case "idempotency_in_progress":
      return relayError("idempotency_in_progress", "A request with this Idempotency-Key is still running.", { retryAfterS: 1 });
    case "idempotency_mismatch":
      return relayError("idempotency_mismatch", "This Idempotency-Key was used for another request: use a new one.", {
        param: "idempotency-key",
        shouldRetry: false,
      });
    case "idempotency_finished": {
      const which = refused.hold === undefined ? "" : `, ${refused.hold.id},`;
      const message = `The request${which} with this Idempotency-Key is over and its answer is not kept. Nothing more is charged; use a new key to ask again.`;
      return relayError("stream_lost", message, { shouldRetry: false });
    }
    case "account_suspended":
    case "account_unknown":
      return relayError("account_suspended", "This account has no open wallet.");
    default:
      return unavailable();
  }
}

function budgetError({ budget, availableNanos }: Refused, budgets: readonly KeyBudget[]): RelayError {
  const period = budget?.id.slice(budget.id.lastIndexOf(":") + 1) ?? "its";
  const left = formatUsd(nanos(availableNanos === undefined || availableNanos < 0n ? 0n : availableNanos));
  const resetsAtMs = budget?.resetsAtMs ?? null;
  const waitMs = resetsAtMs === null ? Number.POSITIVE_INFINITY : resetsAtMs - Date.now();
  const until = resetsAtMs === null ? "" : ` It begins anew at ${new Date(resetsAtMs).toISOString()}.`;
  const words = period === "total" ? "budget" : `budget of a ${period}`;
  const cap = budgets.find((each) => each.period === period)?.capNanos;
  const resetMs = resetsAtMs === null ? null : Math.max(0, waitMs);
  const limit = cap === undefined ? null : formatUsd(nanos(BigInt(cap)));
  return relayError("budget_exceeded", `This key's ${words} has ${left} USD left, and this request could cost more.${until}`, {
    retryAfterS: clampRetryAfter(Math.min(waitMs, 60_000)),
    ...(limit === null ? {} : { quota: { kind: "budget", limit, remaining: left, resetMs } }),
    ...(waitMs > 60_000 ? { shouldRetry: false } : {}),
  });
}

export class RequestHold {
  readonly #billing: BillingPort;
  readonly #id: string;
  readonly #price: PriceAt | null;
  readonly #scope: Scope;
  /** Nano-USD that are set aside, and the tokens of output that they cover. */
  #heldNanos: bigint;
  #heldTokens: number;

  constructor(billing: BillingPort, id: string, price: PriceAt | null, scope: Scope, heldNanos: bigint) {
    this.#billing = billing;
    this.#id = id;
    this.#price = price;
    this.#scope = scope;
    this.#heldTokens = scope.outputTokens;
    this.#heldNanos = heldNanos;
  }

  /** Version of the price that the hold was made with; the settlement uses the same. Null where nothing is counted. */
  get priceId(): string | null {
    return this.#price?.version.id ?? null;
  }

  /** Output tokens that the hold covers; null when it covers the whole answer. */
  get coveredTokens(): number | null {
    return this.#scope.outputTokens < this.#scope.outputMax ? this.#scope.outputTokens : null;
  }

  /**
   * Extends the hold to cover `outputTokens` plus one window. If there is no credit for that, tries `outputTokens` alone.
   * @returns the covered tokens (Infinity = the whole answer) or the refusal.
   */
  async extend(outputTokens: number): Promise<number | Refused> {
    const wide = await this.#extendTo(outputTokens + WINDOW_TOKENS);
    return typeof wide === "number" || outputTokens <= this.#heldTokens ? wide : this.#extendTo(outputTokens);
  }

  async #extendTo(outputTokens: number): Promise<number | Refused> {
    const { outputMax } = this.#scope;
    const covered = Math.min(outputTokens, outputMax);
    if (this.#price !== null) {
      const toNanos = amountOf(this.#price, this.#scope, covered);
      const result = await this.#billing.ask({ kind: "extend", id: this.#id, toNanos });
      if (!result.ok) return result;
      this.#heldNanos = toNanos;
    }
    this.#heldTokens = covered;
    return covered >= outputMax ? Number.POSITIVE_INFINITY : covered;
  }

  /** Tells the ledger what to charge if this process dies now. */
  checkpoint(seq: number, usage: BilledUsage): Promise<Result> {
    return this.#billing.ask({
      kind: "checkpoint",
      id: this.#id,
      seq,
      inputTokens: usage.input,
      outputTokens: usage.output,
      chargeNanos: this.#costOf(usage),
    } satisfies OperationOf<"checkpoint">);
  }

  /**
   * How the hold ends: settled at the price of what was used, or voided if no upstream did any work. The relay never charges its
   * own estimate above what it had set aside.
   */
  endingOf({ usage, basis, endReason }: Pick<RequestRow, "usage" | "basis" | "endReason">): Ending {
    if (basis === "none") return { kind: "void", id: this.#id, endReason };
    const costNanos = this.#costOf(usage);
    return {
      kind: "settle",
      id: this.#id,
      costNanos: basis === "exact" ? costNanos : lesser(costNanos, this.#heldNanos),
      basis,
      inputTokens: usage.input,
      outputTokens: usage.output,
      endReason,
    };
  }

  #costOf(usage: BilledUsage): bigint {
    return this.#price === null ? 0n : costNanos(this.#price, usage);
  }
}

/** What a client is told when its running stream cannot be paid for any further. */
export function extensionError(refused: Refused): RelayError {
  const error = refusalOf(refused);
  if (error.code === "insufficient_credits" || error.code === "budget_exceeded") return error;
  return relayError("store_unavailable", "No more money can be set aside for this answer right now; what was sent is charged.");
}
