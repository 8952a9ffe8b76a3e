/** The clients of a trial: accounts with keys. Each has workers that send one request after the other and note the answers. */
import { setTimeout as sleep } from "node:timers/promises";
import { drawFrom, drawInteger } from "../packages/relay/src/simulator/draw.ts";
import type { Draw } from "../packages/relay/src/simulator/draw.ts";
import { call } from "../packages/relay/test/support/call.ts";
import type { Answer } from "../packages/relay/test/support/call.ts";
import type { RelayProcess } from "../packages/relay/test/support/relay-process.ts";
import { hear } from "./answer-heard.ts";
import type { Heard } from "./answer-heard.ts";
import type { Customer } from "./customer.ts";
import type { Moments } from "./moments.ts";
import { Orders, pick } from "./orders.ts";
import type { Order } from "./orders.ts";

/** One try of an order, as its client knows it. */
export interface Asked extends Heard {
  readonly number: number;
  /** Its Idempotency-Key. */
  readonly key: string | null;
  /** Wall clock, milliseconds. */
  readonly sentAt: number;
  readonly endedAt: number;
  readonly accountId: string;
  readonly isMetered: boolean;
  readonly model: string;
  readonly isStream: boolean;
  readonly bodyBytes: number;
  /** Null when there was not even a head. */
  readonly requestId: string | null;
  readonly status: number | null;
  /** The client closed before the answer had ended. */
  readonly hasLeft: boolean;
}

/** A time in which requests are sent, to any of the relays. */
export interface Life {
  readonly relays: readonly Pick<RelayProcess, "port">[];
  isOver: boolean;
}

const LEAVERS = 0.15;
/** Of those with a key: sent twice at the same time. */
const TWICE = 0.1;
const PAUSE_MS_MAX = 15;
/** A client that was refused does not ask again at once. */
const PATIENCE_MS = 80;

export class Customers {
  readonly asked: Asked[] = [];
  readonly #customers: readonly Customer[];
  readonly #moments: Moments;
  readonly #draw: Draw;
  readonly #orders: Orders;

  constructor(customers: readonly Customer[], seed: number, moments: Moments) {
    this.#customers = customers;
    this.#moments = moments;
    this.#draw = drawFrom(seed, "customers");
    this.#orders = new Orders(drawFrom(seed, "orders"));
  }

  /** Sends requests until the life is over; resolves when the last answer has ended. */
  async live(life: Life): Promise<void> {
    const workers = this.#customers.flatMap((customer) => Array.from({ length: customer.workers }, () => this.#work(customer, life)));
    await Promise.all(workers);
  }

  async #work(customer: Customer, life: Life): Promise<void> {
    while (!life.isOver) {
      const order = this.#orders.next(customer);
      const times = order.key !== null && this.#draw() < TWICE ? 2 : 1;
      const tries = await Promise.all(Array.from({ length: times }, () => this.#ask(customer, order, life)));
      this.asked.push(...tries);
      const asked = tries.find(({ ending }) => ending === "whole") ?? tries[0];
      if (asked !== undefined) this.#orders.note(customer, order, asked);
      await sleep(asked?.ending === "whole" ? drawInteger(this.#draw, 0, PAUSE_MS_MAX) : PATIENCE_MS);
    }
  }

  async #ask(customer: Customer, order: Order, life: Life): Promise<Asked> {
    const draw = this.#draw;
    const { number, key, model, isStream, body } = order;
    const leaving = draw() < LEAVERS ? new Leaving(draw) : null;
    const to = { port: pick(draw, life.relays).port, key: pick(draw, customer.keys) };
    const sentAt = Date.now();
    const answer = await send(to, order, leaving, (bytes) => this.#watch(bytes));
    const heard: Heard = answer === null ? { ending: "cut", text: "", code: null } : hear(answer, isStream);
    return {
      ...heard,
      number,
      key,
      sentAt,
      endedAt: Date.now(),
      accountId: customer.accountId,
      isMetered: customer.isMetered,
      model,
      isStream,
      bodyBytes: body.length,
      requestId: typeof answer?.headers["x-request-id"] === "string" ? answer.headers["x-request-id"] : null,
      status: answer?.status ?? null,
      hasLeft: heard.ending === "cut" && leaving?.hasLeft === true,
    };
  }

  #watch(bytes: Buffer): void {
    if (bytes.includes('"finish_reason":"stop"')) this.#moments.note("finish");
    if (bytes.includes("data: [DONE]")) this.#moments.note("done");
  }
}

/** When a client leaves: this long after its request, or this long after the first bytes. */
class Leaving {
  readonly #controller = new AbortController();
  readonly #afterMs: number;
  readonly #waitsForBytes: boolean;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(draw: Draw) {
    this.#waitsForBytes = draw() < 0.5;
    this.#afterMs = drawInteger(draw, 1, this.#waitsForBytes ? 150 : 60);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get hasLeft(): boolean {
    return this.signal.aborted;
  }

  hasSent(): void {
    if (!this.#waitsForBytes) this.#start();
  }

  hasBytes(): void {
    if (this.#waitsForBytes && this.#timer === null) this.#start();
  }

  stay(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #start(): void {
    this.#timer = setTimeout(() => this.#controller.abort(), this.#afterMs);
  }
}

/** Null when the connection ended before an answer began. */
async function send(
  to: { readonly port: number; readonly key: string },
  { body, key }: Order,
  leaving: Leaving | null,
  watch: (bytes: Buffer) => void,
): Promise<Answer | null> {
  const onBytes = (bytes: Buffer): void => {
    leaving?.hasBytes();
    watch(bytes);
  };
  const answer = call(to, {
    body,
    onBytes,
    ...(key === null ? {} : { headers: { "idempotency-key": key } }),
    ...(leaving === null ? {} : { signal: leaving.signal }),
  });
  leaving?.hasSent();
  try {
    return await answer;
  } catch (error) {
    // The relay is dead, or the client has left; the trial expects both. Anything else is a bug of the trial.
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (["ECONNREFUSED", "ECONNRESET", "EPIPE", "ABORT_ERR"].includes(code)) return null;
    throw error;
  } finally {
    leaving?.stay();
  }
}
