/**
 * A relay without sockets: it asks the books as the real one does (`ledger/ledger.ts`, `ledger/commit-queue.ts`, `store/keeper`), by
 * steps instead of timers. What is in memory dies with it; its spool file does not.
 */
import type { Operation, Result } from "../../../src/ledger/operation.ts";
import { endingsOf, Orphans } from "../../../src/ledger/orphans.ts";
import type { FencingToken } from "../../../src/ledger/unit.ts";
import { Killed } from "./books.ts";
import type { Books, RequestUnit } from "./books.ts";
import type { Oracle } from "./oracle.ts";
import { voidOf } from "./request.ts";
import type { Ending, Order, Run } from "./request.ts";
import type { Fault } from "./script.ts";

export const LEASE_MS = 60_000;

type Answer = (result: Result) => void;

interface Waiting {
  readonly unit: RequestUnit;
  readonly operation: Operation;
  readonly answer: Answer;
}

interface SpoolEntry {
  readonly ending: Ending;
  isAsked: boolean;
}

/** Mistakes of a relay, planted to see them found. */
export interface RelayPlant {
  /** Tells its clients before the books have answered. */
  readonly answersEarly?: boolean;
  readonly losesSpool?: boolean;
  readonly forgetsOrphans?: boolean;
  /** Takes what is not known for done. */
  readonly believes?: boolean;
}

const UNKNOWN: Result = { ok: false, code: "store_unavailable", isUnknown: true };
const REFUSED: Result = { ok: false, code: "store_unavailable" };

export class SimulatedRelay {
  readonly name: string;
  readonly #books: Books;
  readonly #oracle: Oracle;
  readonly #plant: RelayPlant;
  readonly spool: SpoolEntry[] = [];
  isAlive = false;
  runs: Run[] = [];
  #epoch = 0;
  #queue: Waiting[] = [];
  #orphans = new Orphans();

  constructor(name: string, books: Books, oracle: Oracle, plant: RelayPlant) {
    this.name = name;
    this.#books = books;
    this.#oracle = oracle;
    this.#plant = plant;
  }

  get isIdle(): boolean {
    return this.#queue.length === 0 && this.#orphans.isEmpty && this.runs.length === 0 && this.spool.length === 0;
  }

  /** What its last life had spooled is stored before what that life left open is ended. */
  boot(): void {
    if (this.isAlive) return;
    this.isAlive = true;
    this.catchUp();
    this.#recover(() => this.kill());
  }

  /** All that is in memory is gone. */
  kill(): void {
    this.isAlive = false;
    this.runs = [];
    this.#queue = [];
    this.#orphans = new Orphans();
    for (const entry of this.spool) entry.isAsked = false;
  }

  ask(operation: Operation, answer: Answer, writes: RequestUnit["writes"] = []): void {
    if (this.isAlive) this.#queue.push({ unit: { operations: [operation], writes }, operation, answer });
  }

  /** @param onFailure a relay whose ledger does not open does not start. */
  #recover(onFailure: () => void = () => undefined): void {
    this.ask({ kind: "recover", node: this.name }, (result) => {
      if (result.ok && result.recovery !== null) this.#epoch = result.recovery.epoch;
      else onFailure();
    });
  }

  renew(): void {
    this.ask({ kind: "renew_lease" }, (result) => {
      if (!result.ok && result.code === "stale_epoch") this.#recover();
    });
  }

  /** Sets money aside for a request; only with it does an upstream see the request. */
  open(hold: Extract<Operation, { kind: "hold" }>, order: Order, isAgain = false): void {
    this.#oracle.asked(hold);
    this.ask(hold, (result) => {
      if (result.ok) {
        this.#oracle.held(hold);
        this.runs.push({ id: hold.id, order, heldNanos: hold.amountNanos, deliveredNanos: 0n, seq: 0 });
      } else if (result.code === "stale_epoch" && !isAgain) {
        this.renew();
        this.open(hold, order, true);
      }
    });
  }

  /** The upstream delivers; what that would cost is noted, and more is set aside where it is needed. */
  work(run: Run, nanos: bigint): void {
    run.deliveredNanos += nanos;
    const { id, deliveredNanos } = run;
    if (deliveredNanos > run.heldNanos) {
      const toNanos = deliveredNanos + nanos;
      this.ask({ kind: "extend", id, toNanos }, (result) => {
        if (result.ok) run.heldNanos = toNanos;
      });
    }
    const seq = ++run.seq;
    this.#oracle.noting(id, seq, deliveredNanos);
    this.ask({ kind: "checkpoint", id, seq, inputTokens: 1, outputTokens: seq, chargeNanos: deliveredNanos }, (result) => {
      if (result.ok) this.#oracle.noted(id, seq);
    });
  }

  /** The answer is over: the client hears so once the books have it, and what they did not confirm goes to the spool file. */
  finish(run: Run, ending: Ending): void {
    this.runs = this.runs.filter((each) => each !== run);
    this.#oracle.ending(ending);
    if (this.#plant.answersEarly === true) this.#oracle.ended(ending);
    this.ask(
      ending,
      (result) => {
        if (result.ok || (this.#plant.believes === true && result.isUnknown === true)) return this.#oracle.ended(ending);
        if (result.code === "hold_unknown") return this.#oracle.lost(run.id);
        const late = run.order.isStream ? { ...ending, endReason: "store_unavailable" } : voidOf(run.id);
        this.#oracle.ending(late);
        if (this.#plant.losesSpool !== true) this.spool.push({ ending: late, isAsked: false });
      },
      ["row"],
    );
  }

  /** Asks again for what is in the spool file. */
  catchUp(): void {
    if (!this.isAlive) return;
    for (const entry of this.spool) {
      if (entry.isAsked) continue;
      entry.isAsked = true;
      this.ask(
        entry.ending,
        (result) => {
          if (!result.ok && result.code === "not_open") this.#correct(entry);
          else this.#stored(entry, result);
        },
        ["row"],
      );
    }
  }

  /** Somebody ended the hold before: the difference moves once. */
  #correct(entry: SpoolEntry): void {
    const { ending } = entry;
    const truth = ending.kind === "settle" ? { costNanos: ending.costNanos } : { costNanos: 0n, freesKey: true };
    this.ask({ kind: "correct", id: ending.id, ...truth }, (result) => this.#stored(entry, result), ["row"]);
  }

  #stored(entry: SpoolEntry, result: Result): void {
    entry.isAsked = false;
    if (!result.ok && (result.code === "store_unavailable" || result.code === "store_failed")) return;
    this.spool.splice(this.spool.indexOf(entry), 1);
    if (result.ok) this.#oracle.ended(entry.ending);
    else this.#oracle.lost(entry.ending.id);
  }

  /** Ends what a peer left whose lease is over. */
  sweep(peer: string): void {
    this.renew();
    this.ask({ kind: "recover", node: peer }, () => undefined);
  }

  /** Sends what waits, as one batch, through a fault. */
  flush(most: number, fault: Fault): void {
    if (!this.isAlive) return;
    const batch = this.#queue.splice(0, most);
    const orphans = this.#orphans.next(most);
    const endings = endingsOf<"row">(orphans);
    const units = [...endings, ...batch.map((waiting) => waiting.unit)];
    if (units.length === 0) return;
    const results = this.#through(fault, units);
    if (!this.isAlive) return;
    this.#orphans.settle(
      orphans,
      results.map((result) => ({ ok: true, results: [result] })),
    );
    for (const [at, waiting] of batch.entries()) this.#answer(waiting, results[endings.length + at] ?? UNKNOWN);
  }

  #answer({ operation, answer }: Waiting, result: Result): void {
    const isUnknown = !result.ok && result.isUnknown === true;
    if (isUnknown && this.#plant.forgetsOrphans !== true) this.#orphans.remember([operation]);
    answer(result);
  }

  #through(fault: Fault, units: readonly RequestUnit[]): readonly Result[] {
    if (fault === "killed-before") this.kill();
    if (fault === "killed-before" || fault === "unsent") return units.map(() => UNKNOWN);
    if (fault === "refused") return units.map(() => REFUSED);
    const results = this.#commit(units);
    switch (fault) {
      case "lost":
        return units.map(() => UNKNOWN);
      case "twice":
        return this.#commit(units);
      case "slow":
        return units.map((unit, at) => (unit.operations.some(isGivenUp) ? UNKNOWN : (results[at] ?? UNKNOWN)));
      case "killed-after":
        this.kill();
        return results;
      default:
        return results;
    }
  }

  #commit(units: readonly RequestUnit[]): readonly Result[] {
    const token: FencingToken = { node: this.name, epoch: this.#epoch, leaseMs: LEASE_MS };
    try {
      return this.#books.commit(token, units);
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      this.kill();
      return units.map(() => UNKNOWN);
    }
  }
}

/** What requests wait for, and for so long only. */
function isGivenUp({ kind }: Operation): boolean {
  return kind === "hold" || kind === "extend" || kind === "expire_lots";
}
