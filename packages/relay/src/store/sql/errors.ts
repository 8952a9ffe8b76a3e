/** What a failed statement means for the batch. */

/**
 * `conflict`: another transaction was in the way, trying again may help. `database`: disk, memory, read-only and the like,
 * no operation is to blame. `locked`: somebody else has kept a row for longer than is waited. `connection`: nobody knows whether the last statement had an effect. `operation`: the rows.
 */
export type FailureKind = "conflict" | "locked" | "database" | "connection" | "operation";

/** SQLite's primary result codes that no row is to blame for: BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB. */
const SQLITE_DATABASE = new Set([5, 6, 7, 8, 10, 11, 13, 14, 26]);
/** Unique violations too: the row that was in the way is visible the next time. */
const POSTGRES_CONFLICT = new Set(["40001", "40P01", "23505"]);
/** Classes of SQLSTATE: insufficient resources, locks not to be had, operator intervention, system error. */
const POSTGRES_DATABASE = /^(53|55|57|58)/;
/** A lock that was not to be had in time. */
const POSTGRES_LOCKED = "55P03";
/** The server ends the session: it may have committed before. */
const POSTGRES_CONNECTION = /^(08|57P0[1-5])/;
/** "Connection terminated", "not queryable", "Query read timeout": the driver gives these no code. */
const DRIVER = /connection|terminated|not queryable|timeout/i;

export function kindOfFailure(error: unknown): FailureKind {
  if (!(error instanceof Error)) return "operation";
  const sqlite = (error as { errcode?: unknown }).errcode;
  if (typeof sqlite === "number") return SQLITE_DATABASE.has(sqlite & 0xff) ? "database" : "operation";
  const state = (error as { code?: unknown }).code;
  if (typeof state === "string" && /^[0-9A-Z]{5}$/.test(state)) return postgresFailure(state);
  // What the driver itself says: the socket closed, the server is unreachable or silent. A bug here has no code and is an operation's.
  const isDriver = (typeof state === "string" && /^E[A-Z]+$/.test(state)) || DRIVER.test(error.message);
  return isDriver ? "connection" : "operation";
}

function postgresFailure(state: string): FailureKind {
  if (POSTGRES_CONNECTION.test(state)) return "connection";
  if (POSTGRES_CONFLICT.has(state)) return "conflict";
  if (state === POSTGRES_LOCKED) return "locked";
  return POSTGRES_DATABASE.test(state) ? "database" : "operation";
}
