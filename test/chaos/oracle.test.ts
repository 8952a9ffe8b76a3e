/** The oracle of `npm run chaos` can fail: what is planted in a copy of a real trial's data is found, and nothing else is. */
import { cpSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readBooks } from "../../chaos/books.ts";
import type { Asked } from "../../chaos/customers.ts";
import { judge } from "../../chaos/oracle.ts";
import type { Claim, Evidence } from "../../chaos/oracle.ts";
import { openPlace, sqlitePlace } from "../../chaos/place.ts";
import type { Place } from "../../chaos/place.ts";
import { missing } from "../../chaos/tally.ts";
import { runTrial } from "../../chaos/trial.ts";
import type { Verdict } from "../../chaos/trial.ts";

let place: Place;
let evidence: Evidence;
let verdict: Verdict;
/** The hold of a stream that a paying client saw whole, with usage. */
let hold: string;
let wallet: string;
const copies: Place[] = [];

beforeAll(async () => {
  place = await openPlace("sqlite");
  const trial = await runTrial(place, { kill: "relay", cycles: 2, seed: 1, say: () => undefined });
  ({ evidence, verdict } = trial);
  const wholes = new Set(evidence.asked.filter(({ ending }) => ending === "whole").map(({ requestId }) => requestId));
  const settled = trial.books.holds.find((one) => one.basis === "exact" && (one.charged ?? 0n) > 0n && wholes.has(one.id));
  hold = settled?.id ?? "";
  wallet = trial.books.wallets.find(({ accountId }) => accountId === settled?.accountId)?.id ?? "";
}, 60_000);

afterAll(async () => {
  for (const each of [place, ...copies]) await each.close();
});

/** A copy of the books in which `sql` was done, its guards taken down. */
function planted(sql: string): Place {
  const directory = mkdtempSync(join(tmpdir(), "millrace-oracle-"));
  cpSync(place.dataDir, directory, { recursive: true });
  const database = new DatabaseSync(join(directory, "millrace.db"));
  for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all())
    database.exec(`DROP TRIGGER ${String(name)}`);
  database.exec(`PRAGMA foreign_keys = OFF; ${sql.replaceAll("HOLD", `'${hold}'`).replaceAll("WALLET", `'${wallet}'`)}`);
  database.close();
  const copy = sqlitePlace(directory);
  copies.push(copy);
  return copy;
}

async function claimsOn(copy: Place, seen: Evidence = evidence): Promise<Claim[]> {
  const findings = judge(seen, await readBooks(copy.query));
  return [...new Set(findings.map(({ claim }) => claim))].toSorted();
}

test("a trial in which nothing is wrong is found right, and its copy is", async () => {
  expect(verdict.findings).toEqual([]);
  expect(hold).not.toBe("");
  expect(await claimsOn(planted(""))).toEqual([]);
});

const A_COPY_OF_THE_HOLD = `
  CREATE TEMP TABLE twin AS SELECT * FROM holds WHERE id = HOLD; UPDATE twin SET id = 'req_twin', charged = 0, state = 'voided', basis = 'none';
  INSERT INTO holds SELECT * FROM twin;`;
/** All that a wrong settlement would write, so that the books agree with each other. */
const ONE_NANO_MORE = `
  UPDATE holds SET charged = charged + 1 WHERE id = HOLD;
  UPDATE transfers SET amount = amount + 1 WHERE hold_id = HOLD;
  UPDATE wallets SET balance = balance - 1 WHERE id = WALLET;
  UPDATE requests SET charge_nanos = charge_nanos + 1 WHERE id = HOLD;
  UPDATE usage_sums SET charge_nanos = charge_nanos + 1 WHERE period = 'day' AND (starts_at, account_id, key_id, model, upstream) =
    (SELECT at - at % 86400000, account_id, key_id, model, coalesce(upstream, '') FROM requests WHERE id = HOLD);`;

test.each<readonly [what: string, sql: string, claims: readonly Claim[]]>([
  ["a charge that is a nano-dollar too high everywhere", ONE_NANO_MORE, ["wrong charge"]],
  [
    "a charge that only the hold tells",
    "UPDATE holds SET charged = charged - 1 WHERE id = HOLD",
    ["double", "wrong balance", "wrong charge"],
  ],
  ["a hold that is missing", "DELETE FROM holds WHERE id = HOLD", ["double", "lost", "unheld", "wrong balance", "wrong charge"]],
  ["a row that is missing", "DELETE FROM requests WHERE id = HOLD", ["lost", "wrong sums"]],
  [
    "a settlement that was done twice",
    `INSERT INTO transfers SELECT id || ':again', cause, debit, credit, amount, code, wallet_id, wallet_seq + 100000, balance_after - amount,
       hold_id, reason, actor, created_at FROM transfers WHERE hold_id = HOLD;
     UPDATE wallets SET balance = balance - (SELECT amount FROM transfers WHERE id = 'settle:' || HOLD || ':promo') WHERE id = WALLET`,
    ["double", "wrong balance"],
  ],
  ["a request that was held twice", A_COPY_OF_THE_HOLD, ["double"]],
  ["a settlement that moved nothing", "DELETE FROM transfers WHERE hold_id = HOLD", ["lost"]],
  ["tokens that nobody reported", "UPDATE requests SET cached_input_tokens = cached_input_tokens + 1 WHERE id = HOLD", ["wrong tokens"]],
  [
    "a hold that was made after the upstream was asked",
    "UPDATE holds SET created_at = created_at + 60000, closed_at = closed_at + 60000 WHERE id = HOLD",
    ["unheld"],
  ],
  [
    "a hold that stays open",
    "UPDATE holds SET state = 'open', charged = NULL, basis = NULL, closed_at = NULL WHERE id = HOLD",
    ["double", "left open", "lost", "wrong balance", "wrong charge"],
  ],
  [
    "a recovered hold that is charged more than its checkpoint",
    "UPDATE holds SET state = 'recovered', basis = 'checkpoint', output_tokens = output_tokens + 1 WHERE id = HOLD",
    ["lost", "over recovered", "wrong charge"],
  ],
  ["a balance that was changed", "UPDATE wallets SET balance = balance + 1 WHERE id = WALLET", ["wrong balance"]],
  ["a summary that was changed", "UPDATE usage_sums SET requests = requests + 1 WHERE account_id = 'default'", ["wrong sums"]],
  ["a credit that is missing", "UPDATE lots SET reference = 'stranger' WHERE reference = 'first-shop'", ["wrong credit"]],
])("%s is found", async (_what, sql, claims) => {
  const found = await claimsOn(planted(sql));
  expect(found).toEqual(claims);
});

test("a charge to an account that does not pay is found", async () => {
  const id = evidence.asked.find((one) => one.ending === "whole" && !one.isMetered)?.requestId;
  expect(await claimsOn(planted(`UPDATE requests SET charge_nanos = 1 WHERE id = '${id}'`))).toEqual(["wrong charge", "wrong sums"]);
});

test("what the books do not agree on among themselves, the ledger's audit finds", async () => {
  expect(await planted("").audit()).toEqual([]);
  expect(await planted("UPDATE wallets SET balance = balance + 1 WHERE id = WALLET").audit()).not.toEqual([]);
});

test.each<readonly [what: string, change: (asked: Asked) => Asked]>([
  ["an answer that lacks its last words and ends well", (asked) => ({ ...asked, text: asked.text.slice(0, -1) })],
  ["an answer that is neither whole nor says so", (asked) => ({ ...asked, ending: "silent" })],
])("%s is found", async (_what, change) => {
  const asked = evidence.asked.map((one) => (one.requestId === hold ? change(one) : one));
  expect(await claimsOn(place, { ...evidence, asked })).toEqual(["looks whole"]);
});

test("an upstream call for which nobody had set anything aside is found", async () => {
  const [call] = evidence.calls;
  const calls = call === undefined ? [] : [...evidence.calls, { ...call, number: 1 }];
  expect(await claimsOn(place, { ...evidence, calls })).toEqual(["unheld"]);
});

test("a trial in which too little happened proves nothing", () => {
  expect(missing(verdict.tally, "relay", 2)).toEqual(verdict.missing);
  expect(missing({ ...verdict.tally, "streams whole": 1 }, "relay", 12)).toContain("streams whole: 1, which is less than 60");
});
