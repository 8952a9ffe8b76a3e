/** The one way onto PostgreSQL for what runs as long as the relay: a session that is opened when it is needed, and again after it broke. */
import type pg from "pg";
import { kindOfFailure } from "../sql/errors.ts";
import type { Sql } from "../sql/sql.ts";
import { Session } from "./session.ts";

export interface ReconnectingSessionSettings {
  /** See {@link Session.open}. */
  readonly setUp: string;
  readonly answerMs?: number;
  /** Refuse a server that may forget what it has committed. */
  readonly mustBeDurable?: boolean;
  /** What else a new session needs before it is used. */
  readonly prepare?: (session: Session) => Promise<void>;
}

/** A session that is opened when it is first needed, and again after it broke. One question at a time. */
export class ReconnectingSession {
  readonly #connection: pg.ClientConfig;
  readonly #settings: ReconnectingSessionSettings;
  #session: Session | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: pg.ClientConfig, settings: ReconnectingSessionSettings) {
    this.#connection = connection;
    this.#settings = settings;
  }

  /**
   * Runs after what was asked before, if it still is wanted then. Rejects when it fails, or there is no connection; the next
   * question opens a new one.
   */
  run<T>(make: () => Sql<T>, isWanted: () => boolean = () => true): Promise<T> {
    const turn = this.#last.then(() => {
      if (!isWanted()) throw new Error("nobody waits for this any more");
      return this.#run(make);
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #run<T>(make: () => Sql<T>): Promise<T> {
    try {
      if (this.#session?.isBroken === true) await this.close();
      const session = (this.#session ??= await this.#open());
      return await session.run(make());
    } catch (error) {
      if (kindOfFailure(error) === "connection") this.#session?.destroy();
      await this.close();
      throw error;
    }
  }

  async #open(): Promise<Session> {
    const session = await Session.open(this.#connection, this.#settings.setUp, this.#settings.answerMs);
    try {
      if (this.#settings.mustBeDurable === true) await session.assertDurable();
      await this.#settings.prepare?.(session);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
  }
}
