/** The owner of the relay. It makes accounts and keys, and gives credit while relays are killed; it repeats each credit until it is confirmed. */
import { setTimeout as sleep } from "node:timers/promises";
import { call } from "../packages/relay/test/support/call.ts";
import type { RelayProcess } from "../packages/relay/test/support/relay-process.ts";
import { ADMIN_TOKEN } from "../packages/relay/test/support/admin-token.ts";
import type { Life } from "./customers.ts";
import type { Customer } from "./customer.ts";
import type { Moments } from "./moments.ts";
import { scaled, SLIDING } from "./tariff.ts";

export interface Credit {
  readonly reference: string;
  readonly accountId: string;
  readonly nanos: bigint;
  /** True if the relay confirmed the credit; else it may or may not have been given. */
  isConfirmed: boolean;
  /** How often it was asked for. */
  tries: number;
}

const CREDIT_EVERY_MS = 40;
const RICH = "1000000.00";
/** Runs out in a short trial. */
const POOR = "15.000000001";
const DROP = "0.000000123";
/** Soon covers only the beginning of a stream, not what it grows to. */
const TIGHT = "5.000000001";
/** A floor below zero: an account that has spent everything may ask a little longer, but not for the longest answers. */
const ALLOWANCE = "0.400000123";

type Json = Readonly<Record<string, unknown>>;

export class Owner {
  readonly credits: Credit[] = [];
  readonly #moments: Moments;
  #turn = 0;
  /** The small credit that is given again and again. */
  #drops: readonly { readonly accountId: string; readonly usd: string }[] = [];

  constructor(moments: Moments) {
    this.#moments = moments;
  }

  /** Two accounts that have enough, three that have not, and one that does not pay. */
  async open(relay: RelayProcess): Promise<Customer[]> {
    const rich = await this.#customer(relay, { name: "shop", usd: RICH, keys: 2, models: ["flat", "banded"], workers: 6 });
    const other = await this.#customer(relay, { name: "press", usd: RICH, keys: 1, models: ["flat", SLIDING], workers: 5 });
    const poor = await this.#customer(relay, { name: "pupil", usd: POOR, keys: 1, models: ["flat"], workers: 3 });
    const tight = { usd: TIGHT, keys: 1, models: [SLIDING], workers: 3 };
    const authors = [await this.#customer(relay, { name: "author", ...tight }), await this.#customer(relay, { name: "poet", ...tight })];
    this.#drops = [
      ...[rich, other, poor].map(({ accountId }) => ({ accountId, usd: DROP })),
      ...authors.map(({ accountId }) => ({ accountId, usd: ALLOWANCE })),
    ];
    return [rich, other, poor, ...authors, { accountId: "default", isMetered: false, keys: [relay.key], models: ["flat"], workers: 4 }];
  }

  async #customer(
    relay: RelayProcess,
    plan: {
      readonly name: string;
      readonly usd: string;
      readonly keys: number;
      readonly models: readonly string[];
      readonly workers: number;
    },
  ): Promise<Customer> {
    const accountId = String((await this.#ask(relay, "accounts", { name: plan.name, metered: true }))?.["id"]);
    const credit: Credit = { reference: `first-${plan.name}`, accountId, nanos: scaled(plan.usd, 9), isConfirmed: false, tries: 0 };
    this.credits.push(credit);
    await this.#give(relay, credit);
    const keys: string[] = [];
    for (let n = 0; n < plan.keys; n++) keys.push(String((await this.#ask(relay, "keys", { account_id: accountId }))?.["key"]));
    if (!credit.isConfirmed || keys.some((key) => !key.startsWith("sk-"))) throw new Error("the accounts could not be made");
    return { accountId, isMetered: true, keys, models: plan.models, workers: plan.workers };
  }

  /** Gives a drop to each account in turn until the life is over. What a life left unconfirmed the next one asks for again. */
  async live(life: Life): Promise<void> {
    while (!life.isOver) {
      await this.#give(this.#anyOf(life), this.#pending() ?? this.#drop());
      await sleep(CREDIT_EVERY_MS);
    }
  }

  /** One after the other. */
  #anyOf({ relays }: Life): Pick<RelayProcess, "port"> {
    const relay = relays[this.#turn++ % relays.length];
    if (relay === undefined) throw new Error("there is no relay to ask");
    return relay;
  }

  #pending(): Credit | undefined {
    return this.credits.find((credit) => !credit.isConfirmed);
  }

  #drop(): Credit {
    const number = this.credits.length;
    const { accountId, usd } = this.#drops[number % this.#drops.length] ?? { accountId: "", usd: DROP };
    const credit: Credit = { reference: `drop-${number}`, accountId, nanos: scaled(usd, 9), isConfirmed: false, tries: 0 };
    this.credits.push(credit);
    return credit;
  }

  async #give(relay: Pick<RelayProcess, "port">, credit: Credit): Promise<void> {
    credit.tries += 1;
    const amount = `${credit.nanos / 1_000_000_000n}.${String(credit.nanos % 1_000_000_000n).padStart(9, "0")}`;
    const asked = this.#ask(relay, `accounts/${credit.accountId}/credits`, { amount, reason: "chaos", reference: credit.reference });
    this.#moments.note("credit");
    const answer = await asked;
    if (answer !== null) credit.isConfirmed = true;
  }

  /** Null if it is unknown whether the credit was given. */
  async #ask(relay: Pick<RelayProcess, "port">, path: string, body: object): Promise<Json | null> {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
    try {
      const answer = await call({ port: relay.port, key: "" }, { path: `/admin/api/${path}`, body, headers });
      return answer.status === 201 && answer.isWhole ? (JSON.parse(answer.body) as Json) : null;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "";
      if (["ECONNREFUSED", "ECONNRESET", "EPIPE"].includes(code)) return null;
      throw error;
    }
  }
}
