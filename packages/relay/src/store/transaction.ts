/** A transaction, tried again where it lost against another one. */
import { errorText } from "../basics/error-text.ts";
import { GuardFailed } from "./sql/sql.ts";
import type { Sql } from "./sql/sql.ts";
import { kindOfFailure } from "./sql/errors.ts";

/** How often a transaction that lost against another one is tried again. */
const RETRIES_MAX = 5;

export type TransactionOutcome<T> =
  | { readonly ok: true; readonly value: T }
  /**
   * Nothing is stored. `isEverybody`: what was asked is not to blame, so trying its parts would not help. `isLocked`: it is
   * because of a row that somebody else keeps.
   */
  | { readonly ok: false; readonly isEverybody: boolean; readonly isLocked: boolean; readonly reason: string };

/**
 * @param work what is done in it; `isAgain` says that it was tried before and lost, or met rows that it had not looked for.
 * @throws when the connection is lost: then the outcome is unknown.
 */
export function* transaction<T>(work: (isAgain: boolean) => Sql<T>): Sql<TransactionOutcome<T>> {
  for (let tries = 1; ; tries++) {
    try {
      yield { kind: "begin" };
      const value = yield* work(tries > 1);
      yield { kind: "commit" };
      return { ok: true, value };
    } catch (error) {
      const kind = error instanceof GuardFailed ? "conflict" : kindOfFailure(error);
      if (kind === "connection") throw error;
      yield { kind: "rollback" };
      if (kind === "conflict" && tries <= RETRIES_MAX) continue;
      const isLocked = kind === "locked";
      const reason = errorText(error);
      return { ok: false, isEverybody: isLocked || kind === "database", isLocked, reason };
    }
  }
}
