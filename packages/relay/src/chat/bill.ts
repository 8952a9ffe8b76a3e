/**
 * What a metered request costs its account: money is set aside before any upstream is asked, and what was used is taken
 * from it before the answer's last frame leaves.
 */
import { costNanos } from "@millrace/policy/price";
import type { PriceAt } from "@millrace/policy/price";
import { holdNanos } from "@millrace/policy/price-hold";
import { formatUsd, nanos } from "@millrace/wire/money";
import type { Account } from "../admission/accounts.ts";
import type { Model } from "../config/config.ts";
import type { Ending, RequestRow } from "../insight/row.ts";
import type { Operation, Refused, Result } from "../ledger/operation.ts";
import type { ClientRequest } from "../provider/provider.ts";
import { relayError } from "./failure.ts";
import type { RelayError } from "./failure.ts";

/** What the hot path needs of money. */
export interface Till {
  /** Null when nothing is known of what the model costs its accounts. */
  priceOf(model: Model, instantMs: number): PriceAt | null;
  /** What an upstream's own tokens cost us, or null. */
  costOf(upstream: string, upstreamModel: string, instantMs: number): PriceAt | null;
  ask(operation: Operation): Promise<Result>;
}

/** A hold that stands, or the reason why there is none. */
export type Opened = { readonly ok: true; readonly bill: Bill } | { readonly ok: false; readonly error: RelayError };

/** Tokens of an answer whose request says no maximum. */
const OUTPUT_TOKENS_DEFAULT = 8_192;
/** A prompt's tokens are taken to be no more than one for every two bytes, and this much for what the upstream adds. */
const INPUT_BYTES_PER_TOKEN = 2;
const INPUT_TOKENS_EXTRA = 64;
/** The same for images and sounds that stand in the body as base64. */
const MEDIA_BYTES_PER_TOKEN = 256;
const RETRY_AFTER_S = 5;

/** Sets the request's upper bound aside. Nothing may be sent to an upstream before this has answered. */
export async function openBill(
  till: Till,
  asked: {
    readonly id: string;
    readonly at: number;
    readonly account: Account;
    readonly keyId: string;
    readonly request: ClientRequest;
    readonly model: Model;
    readonly mediaBytes: number;
  },
): Promise<Opened> {
  const price = till.priceOf(asked.model, asked.at);
  if (price === null) {
    return {
      ok: false,
      error: relayError(
        "model_not_allowed",
        `The model ${JSON.stringify(asked.model.name)} has no price, so an account that pays cannot use it.`,
        { param: "model" },
      ),
    };
  }
  const result = await till.ask({
    kind: "hold",
    id: asked.id,
    accountId: asked.account.id,
    keyId: asked.keyId,
    model: asked.model.name,
    amountNanos: holdNanos(price.version, boundsOf(asked.request, asked.mediaBytes)),
    mode: "full",
    isMetered: true,
    budgetIds: [],
    priceId: price.version.id,
  });
  return result.ok ? { ok: true, bill: new Bill(asked.id, price) } : { ok: false, error: refusalOf(result) };
}

function boundsOf(request: ClientRequest, mediaBytes: number): { inputMax: number; outputMax: number } {
  const text = Math.ceil((request.body.length - mediaBytes) / INPUT_BYTES_PER_TOKEN);
  const inputMax = text + Math.ceil(mediaBytes / MEDIA_BYTES_PER_TOKEN) + INPUT_TOKENS_EXTRA;
  if (request.door === "embeddings") return { inputMax, outputMax: 0 };
  return { inputMax, outputMax: (request.outputTokensMax ?? OUTPUT_TOKENS_DEFAULT) * request.choices };
}

function refusalOf(refused: Refused): RelayError {
  switch (refused.code) {
    case "insufficient_credits": {
      const available = refused.availableNanos === undefined ? "" : ` There are ${formatUsd(nanos(refused.availableNanos))} USD left.`;
      return relayError("insufficient_credits", `The account's credit does not cover what this request could cost.${available}`, {
        shouldRetry: false,
      });
    }
    case "account_suspended":
    case "account_unknown":
      return relayError("account_suspended", "This account has no open wallet.");
    default:
      return relayError("store_unavailable", "Money cannot be set aside right now; nothing was sent and nothing is charged.", {
        retryAfterS: RETRY_AFTER_S,
      });
  }
}

export class Bill {
  readonly #id: string;
  readonly #price: PriceAt;

  constructor(id: string, price: PriceAt) {
    this.#id = id;
    this.#price = price;
  }

  /** Version of the price that the hold was made with; the settlement uses the same. */
  get priceId(): string {
    return this.#price.version.id;
  }

  /** How the hold ends: at the price of what was used, or at nothing where no upstream had worked. */
  endingOf({ usage, basis, endReason }: Pick<RequestRow, "usage" | "basis" | "endReason">): Ending {
    if (basis === "none") return { kind: "void", id: this.#id, endReason };
    return {
      kind: "settle",
      id: this.#id,
      costNanos: costNanos(this.#price, usage),
      basis,
      inputTokens: usage.input,
      outputTokens: usage.output,
      endReason,
    };
  }
}
