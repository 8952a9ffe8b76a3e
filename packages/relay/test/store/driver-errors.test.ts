/** What errors of the drivers mean, one of each code. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { kindOfFailure, mayAnswerLater } from "../../src/store/sql/errors.ts";
import type { FailureKind } from "../../src/store/sql/errors.ts";

const coded = (code: string, message = "some words"): Error => Object.assign(new Error(message), { code });
const sqlite = (errcode: number): Error => Object.assign(new Error("some words"), { code: "ERR_SQLITE_ERROR", errcode });

const kindsOf = (errors: readonly (readonly [string, unknown])[]): Record<string, FailureKind> =>
  Object.fromEntries(errors.map(([name, error]) => [name, kindOfFailure(error)]));

const SQLITE: readonly (readonly [name: string, code: number, kind: FailureKind])[] = [
  ["ERROR", 1, "operation"],
  ["INTERNAL", 2, "operation"],
  ["PERM", 3, "operation"],
  ["ABORT", 4, "operation"],
  ["BUSY", 5, "database"],
  ["BUSY_SNAPSHOT", 517, "database"],
  ["LOCKED", 6, "database"],
  ["NOMEM", 7, "database"],
  ["READONLY", 8, "database"],
  ["READONLY_DBMOVED", 1032, "database"],
  ["INTERRUPT", 9, "operation"],
  ["IOERR", 10, "database"],
  ["IOERR_FSYNC", 1034, "database"],
  ["CORRUPT", 11, "database"],
  ["NOTFOUND", 12, "operation"],
  ["FULL", 13, "database"],
  ["CANTOPEN", 14, "database"],
  ["PROTOCOL", 15, "operation"],
  ["SCHEMA", 17, "operation"],
  ["TOOBIG", 18, "operation"],
  ["CONSTRAINT_CHECK", 275, "operation"],
  ["CONSTRAINT_TRIGGER", 1811, "operation"],
  ["CONSTRAINT_UNIQUE", 2067, "operation"],
  ["MISMATCH", 20, "operation"],
  ["MISUSE", 21, "operation"],
  ["RANGE", 25, "operation"],
  ["NOTADB", 26, "database"],
];

const POSTGRES: readonly (readonly [name: string, state: string, kind: FailureKind])[] = [
  ["connection_exception", "08000", "connection"],
  ["sqlclient_unable_to_establish_sqlconnection", "08001", "connection"],
  ["connection_does_not_exist", "08003", "connection"],
  ["sqlserver_rejected_establishment", "08004", "connection"],
  ["connection_failure", "08006", "connection"],
  ["transaction_resolution_unknown", "08007", "connection"],
  ["protocol_violation", "08P01", "connection"],
  ["numeric_value_out_of_range", "22003", "operation"],
  ["character_not_in_repertoire", "22021", "operation"],
  ["not_null_violation", "23502", "operation"],
  ["foreign_key_violation", "23503", "operation"],
  ["unique_violation", "23505", "conflict"],
  ["check_violation", "23514", "operation"],
  ["read_only_sql_transaction", "25006", "database"],
  ["in_failed_sql_transaction", "25P02", "operation"],
  ["idle_in_transaction_session_timeout", "25P03", "connection"],
  ["transaction_timeout", "25P04", "connection"],
  ["invalid_password", "28P01", "operation"],
  ["invalid_catalog_name", "3D000", "operation"],
  ["serialization_failure", "40001", "conflict"],
  ["deadlock_detected", "40P01", "conflict"],
  ["insufficient_privilege", "42501", "operation"],
  ["undefined_table", "42P01", "operation"],
  ["disk_full", "53100", "database"],
  ["out_of_memory", "53200", "database"],
  ["too_many_connections", "53300", "database"],
  ["object_in_use", "55006", "database"],
  ["lock_not_available", "55P03", "locked"],
  ["query_canceled", "57014", "database"],
  ["admin_shutdown", "57P01", "connection"],
  ["crash_shutdown", "57P02", "connection"],
  ["cannot_connect_now", "57P03", "connection"],
  ["database_dropped", "57P04", "connection"],
  ["idle_session_timeout", "57P05", "connection"],
  ["io_error", "58030", "database"],
  ["raise_exception", "P0001", "operation"],
  ["internal_error", "XX000", "operation"],
];

const SYSTEM = [
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
];

describe("SQLite", () => {
  test("each result code says who is to blame, and an extended one what its own says", () => {
    expect(kindsOf(SQLITE.map(([name, code]) => [name, sqlite(code)]))).toEqual(
      Object.fromEntries(SQLITE.map(([name, , kind]) => [name, kind])),
    );
  });

  test("the driver's own errors carry their codes", () => {
    const database = new DatabaseSync(":memory:");
    database.exec("CREATE TABLE t (n INTEGER CHECK (n > 0) UNIQUE); INSERT INTO t VALUES (1); PRAGMA query_only = ON");
    expect(kindOfFailure(caught(() => database.exec("INSERT INTO t VALUES (2)")))).toBe("database");
    database.exec("PRAGMA query_only = OFF");
    expect(kindOfFailure(caught(() => database.exec("INSERT INTO t VALUES (0)")))).toBe("operation");
    expect(kindOfFailure(caught(() => database.exec("INSERT INTO t VALUES (1)")))).toBe("operation");
    database.close();
  });
});

describe("PostgreSQL", () => {
  test("each SQLSTATE says who is to blame", () => {
    const errors = POSTGRES.map(([name, state]) => [name, coded(state)] as const);
    expect(kindsOf(errors)).toEqual(Object.fromEntries(POSTGRES.map(([name, , kind]) => [name, kind])));
  });

  test("a socket that breaks or never stands is the connection's, one of five letters too, and so is a name with no address yet", () => {
    for (const code of SYSTEM) expect([code, kindOfFailure(coded(code)), mayAnswerLater(coded(code))]).toEqual([code, "connection", true]);
    for (const code of ["ERR_STREAM_DESTROYED", "ERR_STREAM_WRITE_AFTER_END"]) expect(kindOfFailure(coded(code))).toBe("connection");
    const everyAddress = Object.assign(new AggregateError([coded("ECONNREFUSED"), coded("ECONNREFUSED")]), { code: "ECONNREFUSED" });
    expect([kindOfFailure(everyAddress), mayAnswerLater(everyAddress)]).toEqual(["connection", true]);
  });

  test("a start waits for a server that is not up yet or full, not for one that refuses it", () => {
    for (const state of ["57P03", "53300"]) expect([state, mayAnswerLater(coded(state))]).toEqual([state, true]);
    for (const state of ["EACCES", "28P01", "3D000", "42501", "08P01", "XX000"])
      expect([state, mayAnswerLater(coded(state))]).toEqual([state, false]);
    expect(mayAnswerLater(new Error("The server does not support SSL connections"))).toBe(false);
    expect(mayAnswerLater("no error")).toBe(false);
  });

  test("each error that the driver makes without a code is known: the connection's, or a bug of ours", () => {
    const driver = join(dirname(createRequire(import.meta.url).resolve("pg/package.json")), "lib");
    const source = ["client.js", "connection.js"].map((name) => readFileSync(join(driver, name), "utf8")).join("\n");
    const messages = [...source.matchAll(/new Error\('([^']+)'\)/g)].map(([, message = ""]) => message);
    expect(messages.length).toBeGreaterThan(15);
    const bugs = messages.filter((message) => kindOfFailure(new Error(message)) !== "connection");
    expect(bugs).toEqual(["Client has already been connected. You cannot reuse a client."]);
    const gone = messages.filter((message) => mayAnswerLater(new Error(message)));
    expect(gone.toSorted()).toEqual(
      [
        "Client has encountered a connection error and is not queryable",
        "Client was closed and is not queryable",
        "Connection terminated",
        "Connection terminated unexpectedly",
        "Query read timeout",
        "timeout expired",
      ].toSorted(),
    );
  });
});

test("a bug of ours is the operation's, whatever words it has", () => {
  for (const error of [new TypeError("no connection: timeout terminated"), new Error("the connection"), "timeout", undefined])
    expect(kindOfFailure(error)).toBe("operation");
});

function caught(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}
