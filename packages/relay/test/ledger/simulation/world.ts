/** Relays, clients and operators around one set of books: does what a script says, and lets everybody come back in the end. */
import type { Operation, Result } from "../../../src/ledger/operation.ts";
import { credit, DAY_MS, hold, settle } from "../operations.ts";
import type { Books, Commit } from "./books.ts";
import { Oracle } from "./oracle.ts";
import { LEASE_MS, SimulatedRelay } from "./relay.ts";
import type { RelayPlant } from "./relay.ts";
import { voidOf } from "./request.ts";
import type { Ending, Order, Run } from "./request.ts";
import type { Step } from "./script.ts";

const NAMES = ["node_1", "node_2", "node_3"] as const;
/** `free` is not metered; `adjusted` is the one whose balance operators change. */
const ACCOUNTS = ["plain", "adjusted", "free", "plain"] as const;
const METERED = ["plain", "adjusted"] as const;
const BUDGETS = ["day", "total"] as const;
const ROUNDS_MAX = 50;

type MakeBooks = (onCommit: (commit: Commit) => void) => Books;

export class World {
  readonly #books: Books;
  readonly #oracle = new Oracle();
  readonly #relays: readonly SimulatedRelay[];
  /** What an operator was not yet told is done. */
  readonly #open = new Set<Operation>();
  readonly #credits: string[] = [];
  readonly #refunds: string[] = [];
  readonly #operated: Operation[] = [];
  #n = 0;

  constructor(books: MakeBooks, plant: RelayPlant) {
    this.#books = books((commit) => this.#oracle.committed(commit));
    this.#relays = NAMES.map((name) => new SimulatedRelay(name, this.#books, this.#oracle, plant));
    for (const relay of this.#relays) relay.boot();
    const [first] = this.#relays;
    for (const accountId of METERED) first?.ask({ kind: "open_wallet", accountId, floorNanos: 0n }, () => undefined);
    for (const period of BUDGETS) first?.ask({ kind: "set_budget", id: period, scope: "key", period, capNanos: 2_000n }, () => undefined);
    for (const relay of this.#relays) relay.flush(99, "none");
    for (const accountId of METERED) this.#operate(this.#creditOf(accountId, 500, 0), first);
    first?.flush(99, "none");
  }

  run(script: readonly Step[]): void {
    for (const step of script) this.#do(step);
  }

  /** Everybody comes back, and asks until nothing waits. @returns what is wrong. */
  end(): string[] {
    this.#books.nowMs += LEASE_MS;
    for (let round = 0; round < ROUNDS_MAX && !this.#isAtRest; round++) this.#comeBack();
    if (!this.#isAtRest) this.#oracle.breaches.push("everybody comes to rest: not so");
    return this.#oracle.judge(this.#books.state);
  }

  get #isAtRest(): boolean {
    return this.#open.size === 0 && this.#relays.every((relay) => relay.isAlive && relay.isIdle);
  }

  #comeBack(): void {
    for (const relay of this.#relays) {
      relay.boot();
      for (const run of relay.runs) relay.finish(run, settle(run.id, run.deliveredNanos));
      relay.catchUp();
      relay.flush(1_000, "none");
    }
    for (const operation of this.#open) this.#askFor(operation, this.#relays[0]);
  }

  #do(step: Step): void {
    const relay = this.#relays[step.relay];
    if (relay === undefined) return;
    switch (step.kind) {
      case "flush":
        this.#books.arm?.(step);
        return relay.flush(1 + (step.pick % 8), step.fault);
      case "wait":
        this.#books.nowMs += step.amount;
        return;
      case "kill":
        return relay.kill();
      case "boot":
        return relay.boot();
      case "beat":
        return relay.renew();
      case "sweep":
        return relay.sweep(peerOf(relay.name, step.pick));
      case "catch_up":
        return relay.catchUp();
      case "ask":
      case "work":
      case "finish":
        return this.#request(step, relay);
      default:
        return this.#operation(step, relay);
    }
  }

  #request(step: Step, relay: SimulatedRelay): void {
    if (step.kind === "ask") return this.#ask(step, relay);
    const run = relay.runs[step.pick % Math.max(1, relay.runs.length)];
    if (run === undefined) return;
    if (step.kind === "work") relay.work(run, BigInt(step.amount) / 3n);
    else relay.finish(run, endingOf(run, step));
  }

  /** A key and what it is for always go together, so that asking again is the same question. */
  #ask({ pick, amount }: Step, relay: SimulatedRelay): void {
    const accountId = ACCOUNTS[pick % ACCOUNTS.length] ?? "plain";
    const key = pick % 3 === 0 ? null : `key ${pick % 12}`;
    const order: Order = { accountId, key, isStream: pick % 5 !== 0 };
    const operation = hold(`req_${++this.#n}`, BigInt(amount), {
      accountId,
      isMetered: accountId !== "free",
      budgetIds: BUDGETS.filter((_, at) => ((pick >> (4 + at)) & 3) === 0),
      ...(key === null ? {} : { idempotency: { key, bodySha256: key } }),
    });
    relay.open(operation, order);
  }

  #operation(step: Step, relay: SimulatedRelay): void {
    const { pick, amount } = step;
    const again = [...this.#open, ...this.#operated];
    const operation = step.kind === "again" ? again[pick % Math.max(1, again.length)] : this.#operationOf(step.kind, pick, amount);
    if (operation !== undefined) this.#operate(operation, relay);
  }

  #operationOf(kind: Step["kind"], pick: number, amount: number): Operation | undefined {
    const nanos = BigInt(amount);
    const accountId = METERED[pick % METERED.length] ?? "plain";
    switch (kind) {
      case "credit":
        return this.#creditOf(accountId, amount * 2, pick);
      case "adjust":
        return {
          kind: "adjust",
          accountId: "adjusted",
          deltaNanos: nanos - 100n || 1n,
          reference: `a${++this.#n}`,
          reason: "test",
          actor: "test",
        };
      case "refund": {
        const reference = this.#credits[pick % Math.max(1, this.#credits.length)] ?? "none";
        this.#refunds.push(`f${++this.#n}`);
        return { kind: "reserve_refund", id: `f${this.#n}`, accountId, reference, amountNanos: nanos / 2n, actor: "test" };
      }
      case "finish_refund": {
        const id = this.#refunds[pick % Math.max(1, this.#refunds.length)] ?? "none";
        return { kind: "finish_refund", id, outcome: pick % 2 === 0 ? "done" : "failed" };
      }
      case "set_budget":
        return { kind: "set_budget", id: "day", scope: "key", period: "day", capNanos: nanos * 10n };
      case "expire":
        return { kind: "expire_lots", accountId };
      default:
        return undefined;
    }
  }

  #creditOf(accountId: string, amount: number, pick: number): Operation {
    const reference = `c${++this.#n}`;
    this.#credits.push(reference);
    const lotKind = (["paid", "promo", "paid", "comp"] as const)[(pick >> 3) % 4] ?? "paid";
    const livesMs = [null, 90_000, DAY_MS][(pick >> 5) % 3] ?? null;
    const priority = lotKind === "paid" ? 100 : 10 * ((pick >> 7) % 9);
    const expiresAtMs = livesMs === null ? null : this.#books.nowMs + livesMs;
    return credit(reference, BigInt(amount), { accountId, lotKind, priority, expiresAtMs });
  }

  /** It is asked until somebody has heard what became of it. */
  #operate(operation: Operation, relay: SimulatedRelay | undefined): void {
    if (!this.#operated.includes(operation)) this.#open.add(operation);
    this.#askFor(operation, relay);
  }

  #askFor(operation: Operation, relay: SimulatedRelay | undefined): void {
    relay?.ask(operation, (result) => this.#heard(operation, result));
  }

  #heard(operation: Operation, result: Result): void {
    if (!result.ok && result.code === "store_unavailable") return;
    this.#open.delete(operation);
    if (!result.ok) return;
    if (!this.#operated.includes(operation)) this.#operated.push(operation);
    if (operation.kind === "credit" || operation.kind === "adjust" || operation.kind === "reserve_refund") this.#oracle.operated(operation);
  }
}

function peerOf(name: string, pick: number): string {
  const others = NAMES.filter((each) => each !== name);
  return others[pick % others.length] ?? name;
}

/** Exactly what was delivered, more than was set aside, our own guess, or nothing. */
function endingOf(run: Run, { pick, amount }: Step): Ending {
  const { id, deliveredNanos, heldNanos } = run;
  if (deliveredNanos === 0n && pick % 2 === 0) return voidOf(id);
  if (pick % 7 === 0) return settle(id, deliveredNanos + BigInt(amount));
  if (pick % 7 === 1) return settle(id, deliveredNanos < heldNanos ? deliveredNanos : heldNanos, { basis: "estimated" });
  return settle(id, deliveredNanos);
}
