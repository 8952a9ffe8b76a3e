/** The ledger's own audit can fail: whatever is planted in good books, past their guards, is found by its name. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Operation } from "../../src/ledger/operation.ts";
import { SqliteLedger } from "../../src/store/sqlite/ledger.ts";
import { commitEach, credit, hold, must, promo, settle } from "./operations.ts";
import { openSqlite } from "./sqlite-file.ts";
import { SEAT } from "./stores.ts";

const OPERATIONS: readonly Operation[] = [
  { kind: "recover", node: SEAT.node },
  { kind: "open_wallet", accountId: "acme", floorNanos: 0n },
  { kind: "set_budget", id: "daily", scope: "key_1", period: "total", capNanos: 10_000n },
  credit("order", 1_000n),
  promo("welcome", 100n),
  hold("settled", 200n, { budgetIds: ["daily"] }),
  settle("settled", 150n),
  hold("corrected", 200n, { budgetIds: ["daily"] }),
  settle("corrected", 50n, { basis: "estimated" }),
  { kind: "correct", id: "corrected", costNanos: 70n },
  hold("open", 60n, { budgetIds: ["daily"] }),
  { kind: "reserve_refund", id: "f1", accountId: "acme", reference: "order", amountNanos: 40n, actor: "test" },
];

let directory: string;
let database: DatabaseSync;
let ledger: SqliteLedger;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "millrace-audit-"));
  database = openSqlite(join(directory, "ledger.db"));
  ledger = new SqliteLedger(database, () => Date.now());
  for (const result of await commitEach(ledger, SEAT, OPERATIONS)) must(result);
  for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all())
    database.exec(`DROP TRIGGER ${String(name)}`);
});
afterAll(() => {
  database.close();
  rmSync(directory, { recursive: true });
});

test("good books have nothing wrong in them", () => {
  expect(ledger.audit()).toEqual([]);
});

test.each([
  ["a wallet's balance is the sum of its transfers", "UPDATE wallets SET balance = balance - 1"],
  ["a wallet's transfers are numbered without gaps", "UPDATE wallets SET seq = seq + 1"],
  [
    "replaying a wallet's transfers gives the balance noted at each",
    "UPDATE transfers SET balance_after = balance_after + 1 WHERE id = 'settle:settled'",
  ],
  [
    "a transfer names every wallet it touches",
    "UPDATE transfers SET wallet_id = NULL, wallet_seq = NULL, balance_after = NULL WHERE id = 'correct:corrected'",
  ],
  ["what is held is the sum of the open holds", "UPDATE wallets SET held = held + 1"],
  ["what is left of a lot is its amount and its moves", "UPDATE lots SET remaining = remaining - 1 WHERE kind = 'paid'"],
  ["the balance is never more than what is left in the lots", "UPDATE lots SET remaining = 0"],
  ["a hold's transfers add up to what it charged", "UPDATE holds SET charged = charged + 1 WHERE id = 'settled'"],
  [
    "usage is charged for holds that exist, from their own wallet",
    "UPDATE transfers SET hold_id = 'gone' WHERE id = 'settle:settled:promo'",
  ],
  ["usage is charged for holds that exist, from their own wallet", "UPDATE holds SET wallet_id = NULL WHERE id = 'settled'"],
  ["a correction moved its difference", "UPDATE corrections SET delta = delta + 1"],
  ["what is charged and written off after a correction is its cost", "UPDATE corrections SET cost = cost + 1"],
  ["a budget window holds the sum of its open holds", "UPDATE budget_windows SET held = held + 1"],
  ["a budget window spent what its holds were charged", "UPDATE budget_windows SET spent = spent - 1"],
  ["money that waits to be paid back is the sum of the open refunds", "UPDATE refunds SET amount = amount + 1"],
  ["no more is paid back than was paid", "UPDATE refunds SET amount = 1001, state = 'done', closed_at = created_at"],
])("%s: where it does not hold that is found", (claim, sql) => {
  database.exec("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; BEGIN");
  try {
    database.exec(sql);
    expect(ledger.audit().map((breach) => breach.claim)).toContain(claim);
  } finally {
    database.exec("ROLLBACK; PRAGMA ignore_check_constraints = OFF");
  }
  expect(ledger.audit()).toEqual([]);
});
