/** What is committed to PostgreSQL goes over one connection: batches are made in the queue, so more would only wait for each other's locks. */
import { setTimeout as sleep } from "node:timers/promises";
import { errorText } from "../../basics/error-text.ts";
import { randomBytes } from "node:crypto";
import type pg from "pg";
import type { FencingToken, UnitOutcome } from "../../ledger/unit.ts";
import { auditLedger } from "../ledger/audit.ts";
import type { Breach } from "../ledger/audit.ts";
import type { CommitUnit } from "../ledger/commit.ts";
import { commitAround } from "./locked-rows.ts";
import type { Rows } from "./locked-rows.ts";
import { KEEP_ALIVE, NameTaken, takeName } from "./name.ts";
import { ReconnectingSession } from "./reconnecting-session.ts";
import { FOR_WRITING, NotDurable } from "./session.ts";
import type { Session } from "./session.ts";
import type { Sql } from "../sql/sql.ts";

/**
 * A batch whose outcome is unknown is asked again for so long from its start: after one statement that was given up (3 s)
 * there is time for a new connection (2 s). Who asks for a hold does not wait that long, see `ledger/commit-queue.ts`.
 */
const RETRY_FOR_MS = 5_000;
const RETRY_PAUSE_MS = 50;

/** Longer than the server keeps a connection whose relay is gone. */
const NAME_WITHIN_MS = 10_000;

export interface PostgresSettings {
  readonly connection: pg.ClientConfig;
  /** The relay's name, which no other process may use while this one lives; absent, nobody is kept out. */
  readonly name?: string;
  /** Replaces the database's clock in tests. */
  readonly now?: () => number;
  /** `power` refuses a server that may forget what it has committed. */
  readonly durability?: "process" | "power";
  /** Told about trouble that no caller hears of. */
  readonly onTrouble?: (message: string) => void;
  /** Why the server is known not to answer, or null: then nothing is tried, and nobody waits. */
  readonly trouble?: () => string | null;
}

export class PostgresLedger {
  readonly #settings: PostgresSettings;
  readonly #session: ReconnectingSession;
  /** Rows that somebody else keeps locked. */
  readonly #locked: Rows = new Set();

  constructor(settings: PostgresSettings) {
    this.#settings = settings;
    const { name, durability } = settings;
    const process = `millrace ${randomBytes(8).toString("hex")}`;
    this.#session = new ReconnectingSession(
      { ...settings.connection, application_name: process },
      {
        setUp: `${FOR_WRITING}; ${KEEP_ALIVE}`,
        mustBeDurable: durability === "power",
        ...(name === undefined ? {} : { prepare: (session: Session) => takeName(session, name, process) }),
      },
    );
  }

  /** Connects, and waits for the name as long as a connection of a relay that is gone may keep it. @throws {NameTaken} */
  async takeName(): Promise<void> {
    const deadline = performance.now() + NAME_WITHIN_MS;
    for (;;) {
      try {
        return await this.#session.run(nothing);
      } catch (error) {
        if (error instanceof NotDurable || performance.now() > deadline) throw error;
      }
      await sleep(RETRY_PAUSE_MS);
    }
  }

  /**
   * Commits units and answers in their order; one call at a time. When the connection breaks the same operations are asked
   * again on a new one: what had been done is then found, by its ids, and answered as at first. Writes alone have no such id:
   * once they were sent they are not asked again, for nobody could tell whether they are there twice.
   */
  async commit(token: FencingToken, units: readonly CommitUnit[]): Promise<UnitOutcome[]> {
    const trouble = this.#settings.trouble?.() ?? null;
    if (trouble !== null) return units.map(() => unavailable(trouble, false));
    const deadline = performance.now() + RETRY_FOR_MS;
    const given = new Map<CommitUnit, UnitOutcome>();
    let wasSent = false;
    for (;;) {
      const asked = units.filter((unit) => !given.has(unit));
      try {
        const wasLost = wasSent;
        const outcomes = await this.#session.run(() => {
          wasSent = true;
          return commitAround({ now: this.#settings.now ?? null }, token, asked, this.#locked);
        });
        asked.forEach((unit, at) => given.set(unit, wasLost ? stillUnknown(outcomes[at]) : (outcomes[at] ?? TOO_FEW)));
      } catch (error) {
        const reason = errorText(error);
        if (!(error instanceof NameTaken)) this.#settings.onTrouble?.(`the ledger's connection failed: ${reason}`);
        const isOver = error instanceof NameTaken || error instanceof NotDurable || performance.now() > deadline;
        const lost = asked.filter(({ operations }) => isOver || (wasSent && operations.length === 0));
        for (const unit of lost) given.set(unit, unavailable(reason, wasSent));
      }
      if (given.size === units.length) return units.map((unit) => given.get(unit) ?? TOO_FEW);
      await sleep(RETRY_PAUSE_MS);
    }
  }

  /** What is wrong in the books; see `ledger/audit.ts`. */
  async audit(): Promise<Breach[]> {
    return await this.read(auditLedger());
  }

  /** Runs reads outside of a transaction, such as those of `ledger/read.ts`. */
  async read<T>(sql: Sql<T>): Promise<T> {
    return await this.#session.run(() => sql);
  }

  async close(): Promise<void> {
    await this.#session.close();
  }
}

function* nothing(): Sql<void> {}

const TOO_FEW: UnitOutcome = { ok: false, code: "store_unavailable", reason: "the store gave too few answers", isUnknown: true };

/** A try that fails says nothing of an earlier one that was lost. */
function stillUnknown(outcome: UnitOutcome = TOO_FEW): UnitOutcome {
  return outcome.ok ? outcome : { ...outcome, isUnknown: true };
}

function unavailable(reason: string, wasSent: boolean): UnitOutcome {
  return { ok: false, code: "store_unavailable", reason, ...(wasSent ? { isUnknown: true } : {}) };
}
