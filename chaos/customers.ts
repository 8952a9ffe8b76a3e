/** Those who ask: accounts with keys, and for each of them workers that ask one request after the other and note what they got. */
import { drawFrom, drawInteger } from "../packages/relay/src/simulator/draw.ts";
import type { Draw } from "../packages/relay/src/simulator/draw.ts";
import { call } from "../packages/relay/test/support/call.ts";
import type { Answer } from "../packages/relay/test/support/call.ts";
import type { RelayProcess } from "../packages/relay/test/support/relay-process.ts";
import { hear } from "./answer-heard.ts";
import type { Heard } from "./answer-heard.ts";
import type { Moments } from "./moments.ts";

export interface Customer {
  readonly accountId: string;
  readonly isMetered: boolean;
  readonly keys: readonly string[];
  readonly models: readonly string[];
  readonly workers: number;
}

/** One request, as its client knows it. Its number is its `max_tokens`, which nobody else uses. */
export interface Asked extends Heard {
  readonly number: number;
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

/** A relay between its start and its end. */
export interface Life {
  readonly relay: Pick<RelayProcess, "port">;
  isOver: boolean;
}

/** More than any answer of the upstream has tokens, estimated or reported. */
const FIRST_NUMBER = 4_000;
const LEAVERS = 0.15;
const PAUSE_MS_MAX = 15;
/** A client that was refused does not ask again at once. */
const PATIENCE_MS = 80;

export class Customers {
  readonly asked: Asked[] = [];
  readonly #customers: readonly Customer[];
  readonly #moments: Moments;
  readonly #draw: Draw;
  #next = FIRST_NUMBER;

  constructor(customers: readonly Customer[], seed: number, moments: Moments) {
    this.#customers = customers;
    this.#moments = moments;
    this.#draw = drawFrom(seed, "customers");
  }

  /** Asks until the life is over; resolves when the last answer has ended. */
  async live(life: Life): Promise<void> {
    const workers = this.#customers.flatMap((customer) => Array.from({ length: customer.workers }, () => this.#work(customer, life)));
    await Promise.all(workers);
  }

  async #work(customer: Customer, life: Life): Promise<void> {
    while (!life.isOver) {
      const asked = await this.#ask(customer, life);
      this.asked.push(asked);
      await sleep(asked.ending === "whole" ? drawInteger(this.#draw, 0, PAUSE_MS_MAX) : PATIENCE_MS);
    }
  }

  async #ask(customer: Customer, life: Life): Promise<Asked> {
    const draw = this.#draw;
    const number = this.#next++;
    const isStream = draw() < 0.75;
    const model = pick(draw, customer.models);
    const content = "What does the mill grind? ".repeat(drawInteger(draw, 1, 8));
    const body = Buffer.from(JSON.stringify({ model, stream: isStream, max_tokens: number, messages: [{ role: "user", content }] }));
    const leaving = draw() < LEAVERS ? new Leaving(draw) : null;
    const answer = await send(life, pick(draw, customer.keys), body, leaving, (bytes) => this.#watch(bytes));
    const heard: Heard = answer === null ? { ending: "cut", text: "", code: null } : hear(answer, isStream);
    return {
      ...heard,
      number,
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

/** When a client leaves: so long after it asked, or so long after the first bytes. */
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
  life: Life,
  key: string,
  body: Buffer,
  leaving: Leaving | null,
  watch: (bytes: Buffer) => void,
): Promise<Answer | null> {
  const onBytes = (bytes: Buffer): void => {
    leaving?.hasBytes();
    watch(bytes);
  };
  const answer = call({ port: life.relay.port, key }, { body, onBytes, ...(leaving === null ? {} : { signal: leaving.signal }) });
  leaving?.hasSent();
  try {
    return await answer;
  } catch (error) {
    // The relay is dead, or we have left: both are what this is about. Anything else is a bug here.
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (["ECONNREFUSED", "ECONNRESET", "EPIPE", "ABORT_ERR"].includes(code)) return null;
    throw error;
  } finally {
    leaving?.stay();
  }
}

function pick<T>(draw: Draw, from: readonly T[]): T {
  const picked = from[drawInteger(draw, 0, from.length - 1)];
  if (picked === undefined) throw new Error("there is nothing to pick from");
  return picked;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
