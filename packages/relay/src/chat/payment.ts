/** What an answer costs while it runs: its hold, the checkpoints of a stream, and the gate of a sliding hold. */
import type { BilledUsage } from "@millrace/policy/price";
import type { Ending, RequestRow } from "../insight/row.ts";
import { Checkpoints } from "./checkpoints.ts";
import { CreditGate } from "./credit-gate.ts";
import type { Exchange } from "./exchange.ts";
import type { RelayError } from "./relay-error.ts";
import { extensionError, openHold } from "./request-hold.ts";
import type { BillingPort, RequestHold } from "./request-hold.ts";
import type { Ticker } from "./ticker.ts";

export interface Payment {
  /** Version of the price that the hold was made with; null where nothing is counted. */
  readonly priceId: string | null;
  /** Asks whether what is read is paid for; null where the hold covers all there can be. */
  readonly gate: CreditGate | null;
  /** How the hold ends with this row; undefined where there is none. */
  endingOf(row: Pick<RequestRow, "usage" | "basis" | "endReason">): Ending | undefined;
  /** Begins what has to be done while the answer runs. */
  start(ticker: Ticker): void;
  /** Ends it. It may be called more than once. */
  close(): void;
}

/** Of a request whose account does not pay, whose key has no budget, and that names no Idempotency-Key. */
const nothing = (): void => undefined;
export const NO_PAYMENT: Payment = { priceId: null, gate: null, endingOf: () => undefined, start: nothing, close: nothing };

/** What a payment asks of the answer that it is for, and tells it. */
export interface PaidAnswer {
  /** What the client has by now; null before there is any. */
  delivered(): BilledUsage | null;
  /** More is paid for than before. */
  onCovered(): void;
  /** The answer cannot be paid for any further. */
  onUnpaid(error: RelayError): void;
  /** Is told what a callback of the payment threw. */
  onBug(error: unknown): void;
}

export type Opened = { readonly ok: true; readonly payment: Payment } | { readonly ok: false; readonly error: RelayError };

/** Sets the request's upper bound aside. The relay sends nothing to an upstream before this has answered. */
export async function openPayment(billing: BillingPort, exchange: Exchange, answer: PaidAnswer): Promise<Opened> {
  const opened = await openHold(billing, exchange);
  if (!opened.ok) return opened;
  const { hold } = opened;
  if (hold === null) return { ok: true, payment: NO_PAYMENT };
  const isWatched = hold.priceId !== null && exchange.request.isStream;
  return { ok: true, payment: isWatched ? watchedPayment(hold, answer) : simplePayment(hold) };
}

function simplePayment(hold: RequestHold): Payment {
  return { priceId: hold.priceId, gate: null, endingOf: (row) => hold.endingOf(row), start: nothing, close: nothing };
}

/** A stream's: a checkpoint now and then tells the ledger what to charge if this process died. */
function watchedPayment(hold: RequestHold, answer: PaidAnswer): Payment {
  const onBug = (error: unknown): void => answer.onBug(error);
  const checkpoints = new Checkpoints(hold, () => answer.delivered(), onBug, performance.now());
  let running: Ticker | null = null;
  return {
    ...simplePayment(hold),
    gate: gateOf(hold, answer, onBug),
    start: (ticker) => {
      running = ticker;
      ticker.add(checkpoints, onBug);
    },
    close: () => running?.remove(checkpoints),
  };
}

function gateOf(hold: RequestHold, answer: PaidAnswer, onBug: (error: unknown) => void): CreditGate | null {
  if (hold.coveredTokens === null) return null;
  return new CreditGate(hold, hold.coveredTokens, {
    onCovered: () => answer.onCovered(),
    onUnpaid: (refused) => answer.onUnpaid(extensionError(refused)),
    onBug,
  });
}
