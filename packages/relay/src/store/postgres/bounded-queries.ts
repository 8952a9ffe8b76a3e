/** Queries with a deadline, on a connection of their own. While the server is known to be away they fail at once. */
import type pg from "pg";
import { ReconnectingSession } from "./reconnecting-session.ts";
import type { Sql } from "../sql/sql.ts";

export interface BoundedQueriesSettings {
  /** Statements that make the session what it is for. */
  readonly setUp: string;
  /** How long a caller waits, the time in line included. */
  readonly withinMs: number;
  /** Queries in line. More are refused. */
  readonly waitingMax: number;
  /** Why the server is known not to answer, or null. */
  readonly trouble: () => string | null;
}

export class BoundedQueries {
  readonly #session: ReconnectingSession;
  readonly #settings: BoundedQueriesSettings;
  #waiting = 0;

  constructor(connection: pg.ClientConfig, settings: BoundedQueriesSettings) {
    this.#session = new ReconnectingSession(connection, { setUp: settings.setUp, answerMs: settings.withinMs });
    this.#settings = settings;
  }

  /** Rejects when it fails, when it takes too long and when it would. */
  async run<T>(make: () => Sql<T>): Promise<T> {
    const { withinMs, waitingMax, trouble } = this.#settings;
    const known = trouble();
    if (known !== null) throw new Error(known);
    if (this.#waiting >= waitingMax) throw new Error("too many queries wait");
    this.#waiting++;
    let isOver = false;
    const answer = this.#session.run(make, () => !isOver && trouble() === null).finally(() => this.#waiting--);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`PostgreSQL took longer than ${withinMs / 1000} s`)), withinMs);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      isOver = true;
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    await this.#session.close();
  }
}
