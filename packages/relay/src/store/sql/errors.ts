/**
 * What an error of a database's driver means: by SQLite's result code, by PostgreSQL's SQLSTATE, by the name of a system error, and
 * by the words of the driver where it gives no code. Whatever is in none of these tables is the operation's own.
 */
import { getSystemErrorMap } from "node:util";

/**
 * `conflict`: another transaction was in the way, trying again may help. `database`: disk, memory, read-only and the like,
 * no operation is to blame. `locked`: somebody else has kept a row for longer than is waited. `connection`: nobody knows whether the last statement had an effect. `operation`: the rows.
 */
export type FailureKind = "conflict" | "locked" | "database" | "connection" | "operation";

/** SQLite's primary result codes that no row is to blame for: BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB. */
const SQLITE_DATABASE: ReadonlySet<number> = new Set([5, 6, 7, 8, 10, 11, 13, 14, 26]);

const POSTGRES_STATES: ReadonlyMap<string, FailureKind> = new Map<string, FailureKind>([
  ["40001", "conflict"],
  ["40P01", "conflict"],
  // The row that was in the way is visible the next time.
  ["23505", "conflict"],
  ["55P03", "locked"],
  // The server ends the session, which may have committed before: told to stop, crashed, not up yet, the database dropped, idle for too long.
  ["57P01", "connection"],
  ["57P02", "connection"],
  ["57P03", "connection"],
  ["57P04", "connection"],
  ["57P05", "connection"],
  // Idle within a transaction, or a transaction that took too long: the session ends with it.
  ["25P03", "connection"],
  ["25P04", "connection"],
  // A server that takes no writes, such as a standby.
  ["25006", "database"],
]);

/** By the first two characters: broken connections, insufficient resources, objects in use, operator intervention, system errors. */
const POSTGRES_CLASSES: ReadonlyMap<string, FailureKind> = new Map<string, FailureKind>([
  ["08", "connection"],
  ["53", "database"],
  ["55", "database"],
  ["57", "database"],
  ["58", "database"],
]);

/** `ECONNREFUSED`, `EPIPE`, `EAI_AGAIN` and so on: only the socket to PostgreSQL gives these. */
const SYSTEM_ERRORS: ReadonlySet<string> = new Set([...getSystemErrorMap().values()].map(([name]) => name));
/** What Node says of a name that is unknown, and of a socket that is closed already. */
const NODE_ERRORS: ReadonlySet<string> = new Set(["ENOTFOUND", "ERR_STREAM_DESTROYED", "ERR_STREAM_WRITE_AFTER_END"]);

/** What the driver of PostgreSQL says without a code when the connection is gone, or silent. */
const DRIVER_GONE: ReadonlySet<string> = new Set([
  "Connection terminated",
  "Connection terminated unexpectedly",
  "Query read timeout",
  "timeout expired",
  "Client has encountered a connection error and is not queryable",
  "Client was closed and is not queryable",
]);
/** And when it does not understand the server, or cannot agree with it on how to talk. */
const DRIVER_ASTRAY: ReadonlySet<string> = new Set([
  "Received unexpected rowDescription message from backend.",
  "Received unexpected dataRow message from backend.",
  "Received unexpected portalSuspended message from backend.",
  "Received unexpected emptyQuery message from backend.",
  "Received unexpected commandComplete message from backend.",
  "Received unexpected parseComplete message from backend.",
  "Received unexpected copyInResponse message from backend.",
  "Received unexpected copyData message from backend.",
  "The server does not support SSL connections",
  "There was an error establishing an SSL connection",
]);

/** The server says that it is starting, or has no connection left. */
const NOT_YET: ReadonlySet<string> = new Set(["57P03", "53300"]);
/** The socket's file is not ours to use: waiting does not change that. */
const NOT_ALLOWED = "EACCES";

export function kindOfFailure(error: unknown): FailureKind {
  if (!(error instanceof Error)) return "operation";
  const { errcode } = error as { errcode?: unknown };
  if (typeof errcode === "number") return SQLITE_DATABASE.has(errcode & 0xff) ? "database" : "operation";
  if (isOfTheWire(error) || DRIVER_ASTRAY.has(error.message)) return "connection";
  const state = codeOf(error);
  return POSTGRES_STATES.get(state) ?? (state.length === 5 ? POSTGRES_CLASSES.get(state.slice(0, 2)) : undefined) ?? "operation";
}

/** Nobody answered, or not yet; anything else will not change by waiting. */
export function mayAnswerLater(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = codeOf(error);
  return NOT_YET.has(code) || (code !== NOT_ALLOWED && isOfTheWire(error));
}

/** The socket broke, or never stood. An AggregateError is one for each of a name's addresses. */
function isOfTheWire(error: Error): boolean {
  const code = codeOf(error);
  return SYSTEM_ERRORS.has(code) || NODE_ERRORS.has(code) || error instanceof AggregateError || DRIVER_GONE.has(error.message);
}

/** A SQLSTATE or the name of a system error; empty where there is none. */
function codeOf(error: Error): string {
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : "";
}
