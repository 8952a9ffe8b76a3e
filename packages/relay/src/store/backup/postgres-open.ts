/** A connection to PostgreSQL for work that takes as long as it takes. */
import { Session } from "../postgres/session.ts";

/** Of one statement: indexes of a large table, or the audit of its ledger. */
const STATEMENT_WITHIN_MS = 60 * 60_000;
const PATIENT = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '60s'; SET jit = off";

/** @throws with a sentence when the server does not answer. */
export async function openPatient(url: string): Promise<Session> {
  try {
    return await Session.open({ connectionString: url }, PATIENT, STATEMENT_WITHIN_MS);
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    throw new Error(`${nameOf(url)} does not answer (${message === "" ? code : message}): is it running, and is the address right?`, {
      cause: error,
    });
  }
}

/** The database without its password. */
export function nameOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `PostgreSQL ${host}${pathname}`;
}
