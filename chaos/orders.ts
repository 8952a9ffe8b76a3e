/** What the clients of a trial request, and what they request again under the same Idempotency-Key. */
import { drawInteger } from "../packages/relay/src/simulator/draw.ts";
import type { Draw } from "../packages/relay/src/simulator/draw.ts";
import type { Customer } from "./customer.ts";
import { SLIDING } from "./tariff.ts";

/** One request, however often it is sent. Its number is its `max_tokens`, which no other one has. */
export interface Order {
  readonly number: number;
  readonly model: string;
  readonly isStream: boolean;
  readonly body: Buffer;
  /** Its Idempotency-Key. */
  readonly key: string | null;
}

/** The result, as far as it decides whether to ask again. */
interface Outcome {
  readonly ending: string;
  readonly code: string | null;
}

/** More than any answer of the upstream has tokens, estimated or reported. */
const FIRST_NUMBER = 4_000;
const STREAMS = 0.75;
const KEYED = 0.4;
/** The share of answered requests with a key that are sent again. */
const ASKED_AGAIN = 0.2;
const ASKED_OTHERWISE = 0.2;
/** A worker asks again, where there is something to ask again, this often. */
const OLD_FIRST = 0.5;
/** Each sliding request has a body of a size of its own; the first is larger than any body without filling. */
const FIRST_SIZE = 600;
const SIZE_STEP = 2;
/** A request that is refused with one of these codes is not repeated. */
const FINAL = ["stream_lost", "idempotency_mismatch", "insufficient_credits"];

export class Orders {
  readonly #draw: Draw;
  readonly #again = new Map<string, Order[]>();
  #next = FIRST_NUMBER;
  #nextSize = FIRST_SIZE;

  constructor(draw: Draw) {
    this.#draw = draw;
  }

  /** A new one, or one that this customer does not know the end of. */
  next(customer: Customer): Order {
    const old = this.#draw() < OLD_FIRST ? this.#of(customer).shift() : undefined;
    return old ?? this.#make(customer, null);
  }

  /** Remembers what to send again, or what to send under the same key by mistake. */
  note(customer: Customer, order: Order, outcome: Outcome): void {
    if (order.key === null || (outcome.ending === "refused" && FINAL.includes(outcome.code ?? ""))) return;
    const chance = this.#draw();
    if (outcome.ending !== "whole" || chance < ASKED_AGAIN) this.#of(customer).push(order);
    else if (chance < ASKED_AGAIN + ASKED_OTHERWISE && customer.isMetered) this.#of(customer).push(this.#make(customer, order.key));
  }

  #of(customer: Customer): Order[] {
    const orders = this.#again.get(customer.accountId) ?? [];
    this.#again.set(customer.accountId, orders);
    return orders;
  }

  #make(customer: Customer, key: string | null): Order {
    const draw = this.#draw;
    const number = this.#next++;
    const isStream = draw() < STREAMS;
    const model = pick(draw, customer.models);
    const content = "What does the mill grind? ".repeat(drawInteger(draw, 1, 8));
    const bodyOf = (more: string): Buffer =>
      Buffer.from(JSON.stringify({ model, stream: isStream, max_tokens: number, messages: [{ role: "user", content: content + more }] }));
    const isSliding = isStream && model === SLIDING;
    const body = isSliding ? bodyOf(".".repeat(this.#newSize() - bodyOf("").length)) : bodyOf("");
    return { number, model, isStream, body, key: key ?? (draw() < KEYED ? keyOf(number) : null) };
  }

  #newSize(): number {
    this.#nextSize += SIZE_STEP;
    return this.#nextSize;
  }
}

const KEY_PREFIX = "order-";

function keyOf(number: number): string {
  return KEY_PREFIX + number;
}

/** The number of the request that first had this key. */
export function numberOfKey(key: string): number {
  return Number(key.slice(KEY_PREFIX.length));
}

/** One of them, by chance. */
export function pick<T>(draw: Draw, from: readonly T[]): T {
  const picked = from[drawInteger(draw, 0, from.length - 1)];
  if (picked === undefined) throw new Error("there is nothing to pick from");
  return picked;
}
