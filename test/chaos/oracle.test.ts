/** The oracle of `npm run chaos` can fail: what is planted in a copy of a real trial's data is found, and nothing else is. */
import { cpSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readBooks } from "../../chaos/books.ts";
import type { Books, HoldRow } from "../../chaos/books.ts";
import type { Asked } from "../../chaos/customers.ts";
import { judge } from "../../chaos/oracle.ts";
import type { Claim } from "../../chaos/claims.ts";
import { openPlace, sqlitePlace } from "../../chaos/place.ts";
import type { Place } from "../../chaos/place.ts";
import type { Death, Evidence } from "../../chaos/records.ts";
import { holdFor, promptBound, tokensHeld, WINDOW } from "../../chaos/tariff.ts";
import { missing } from "../../chaos/tally.ts";
import { runTrial } from "../../chaos/trial.ts";
import type { Verdict } from "../../chaos/trial.ts";

let place: Place;
let evidence: Evidence;
let books: Books;
let verdict: Verdict;
/** The hold of a stream that a paying client saw whole, with usage. */
let hold: string;
let wallet: string;
const copies: Place[] = [];

beforeAll(async () => {
  place = await openPlace("sqlite", { isSlow: false });
  const trial = await runTrial(place, { kill: "relay", cycles: 4, seed: 1, say: () => undefined });
  ({ evidence, verdict, books } = trial);
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

/** The first of them for which it is true. */
function one<T>(from: readonly T[], isIt: (each: T) => boolean): T {
  const found = from.find(isIt);
  if (found === undefined) throw new Error(`the trial has nothing for which ${isIt.toString()}`);
  return found;
}

async function claimsOn(copy: Place, seen: Evidence = evidence): Promise<Claim[]> {
  const findings = judge(seen, await readBooks(copy.query));
  return [...new Set(findings.map(({ claim }) => claim))].toSorted();
}

test.each([
  ["refused", "voided", "store_unavailable", 0, []],
  ["refused", "recovered", "relay_stopped", 0, []],
  ["refused", "recovered", "relay_stopped", 1, ["wrong charge"]],
  // The client left before anybody knew whether the hold was made.
  ["client_gone", "voided", "store_unavailable", 0, []],
  ["client_gone", "recovered", "relay_stopped", 0, []],
  // Its hold was known, and so was what it cost.
  ["client_gone", "voided", "client_gone", 0, ["wrong charge"]],
  ["complete", "voided", "store_unavailable", 0, ["wrong charge"]],
] as const)(
  "the row of a request (%s) that says nothing of money, with a hold that was %s (%s) at %i nano-dollars, is judged by what is known",
  async (endReason, state, holdEnd, nanos, claims) => {
    const sql = `
    UPDATE requests SET end_reason = '${endReason}', charge_nanos = NULL WHERE id = HOLD;
    UPDATE holds SET state = '${state}', end_reason = '${holdEnd}', charged = ${nanos}, basis = 'none' WHERE id = HOLD`;
    const found = await claimsOn(planted(sql));
    expect(found.filter((claim) => claim === "wrong charge")).toEqual(claims);
  },
);

test("a trial in which nothing is wrong is found right, and its copy is", async () => {
  expect(verdict.findings).toEqual([]);
  expect(hold).not.toBe("");
  expect(await claimsOn(planted(""))).toEqual([]);
});

const A_COPY_OF_THE_HOLD = `
  CREATE TEMP TABLE twin AS SELECT * FROM holds WHERE id = HOLD; UPDATE twin SET id = 'req_twin', charged = 0, state = 'voided', basis = 'none';
  INSERT INTO holds SELECT * FROM twin;`;
/** All that a wrong settlement would write, so that the books agree with each other. */
function nanosMore(more: number, id = "HOLD"): string {
  return `
    UPDATE holds SET charged = charged + ${more} WHERE id = ${id};
    UPDATE transfers SET amount = amount + ${more} WHERE hold_id = ${id};
    UPDATE wallets SET balance = balance - ${more} WHERE id = (SELECT wallet_id FROM holds WHERE id = ${id});
    UPDATE requests SET charge_nanos = charge_nanos + ${more} WHERE id = ${id};
    UPDATE usage_sums SET charge_nanos = charge_nanos + ${more} WHERE period = 'day' AND (starts_at, account_id, key_id, model, upstream) =
      (SELECT at - at % 86400000, account_id, key_id, model, coalesce(upstream, '') FROM requests WHERE id = ${id});`;
}

test.each<readonly [what: string, sql: string, claims: readonly Claim[]]>([
  ["a charge that is a nano-dollar too high everywhere", nanosMore(1), ["wrong charge"]],
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
    ["lost", "wrong charge", "wrong recovery"],
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

test("a recovered hold that is charged less than its checkpoint is found", async () => {
  const { id } = one(books.holds, ({ state, charged }) => state === "recovered" && (charged ?? 0n) > 0n);
  expect(await claimsOn(planted(nanosMore(-1, `'${id}'`)))).toEqual(["wrong charge", "wrong recovery"]);
});

test("a stream that ended early and cost less than its client got is found", async () => {
  const isEstimated = (id: string | null): boolean =>
    books.holds.some((each) => each.id === id && each.walletId !== null && each.basis === "estimated");
  const whole = one(evidence.asked, (each) => each.isStream && each.ending === "whole" && isEstimated(each.requestId));
  const cut: Asked = { ...whole, ending: "broken", code: "upstream_truncated", text: whole.text + "more ".repeat(100) };
  const asked = evidence.asked.map((each) => (each === whole ? cut : each));
  expect(await claimsOn(place, { ...evidence, asked })).toEqual(["wrong tokens"]);
});

test.each<readonly [what: string, change: (death: Death) => readonly Death[]]>([
  ["whose relay lived", () => []],
  ["that another relay ended before the lease of its own was over", (death) => [{ ...death, isForGood: true }]],
])("a recovered hold %s is found", async (_what, change) => {
  const deaths = evidence.deaths.flatMap((death) => change(death));
  expect(await claimsOn(place, { ...evidence, deaths })).toEqual(["wrong recovery"]);
});

describe("an answer that was put aside", () => {
  const putAside = (asked: Asked): Asked => (asked.requestId === hold ? { ...asked, ending: "broken", code: "store_unavailable" } : asked);
  const seen = (): Evidence => ({ ...evidence, asked: evidence.asked.map(putAside) });
  const LATE = "UPDATE requests SET end_reason = 'store_unavailable' WHERE id = HOLD";

  test("and was settled later is right, and was no whole answer", async () => {
    expect(await claimsOn(planted(LATE), seen())).toEqual([]);
    expect(await claimsOn(planted(LATE))).toEqual(["lost"]);
  });

  test.each<readonly [what: string, sql: string, claims: readonly Claim[]]>([
    ["whose row says that it was whole", "", ["lost"]],
    [
      "and never settled",
      `${LATE}; UPDATE wallets SET balance = balance + (SELECT charged FROM holds WHERE id = HOLD) WHERE id = WALLET;
       DELETE FROM transfers WHERE hold_id = HOLD; UPDATE holds SET state = 'voided', charged = 0, basis = 'none' WHERE id = HOLD`,
      ["lost", "wrong charge"],
    ],
  ])("%s is found", async (_what, sql, claims) => {
    expect(await claimsOn(planted(sql), seen())).toEqual(claims);
  });
});

describe("a sliding hold", () => {
  /** A hold that grew for an answer that a client saw whole. */
  const grown = (): HoldRow =>
    one(
      books.holds,
      ({ id, mode, model, amount, basis }) =>
        mode === "sliding" &&
        tokensHeld(model, amount).output > WINDOW &&
        basis === "exact" &&
        evidence.asked.some(({ requestId, ending }) => requestId === id && ending === "whole"),
    );

  test.each<readonly [what: string, change: (output: number, number: number) => number]>([
    ["is less than what was delivered under it", () => WINDOW],
    ["is less than it begins with", () => WINDOW - 1],
    ["grew beyond what was said", (_output, number) => number + 1],
  ])("that %s is found", async (_what, change) => {
    const { id, model, amount } = grown();
    const { prompt, output } = tokensHeld(model, amount);
    const number = one(evidence.asked, ({ requestId }) => requestId === id).number;
    const wrong = holdFor(model, prompt, change(output, number));
    expect(await claimsOn(planted(`UPDATE holds SET amount = ${wrong} WHERE id = '${id}'`))).toEqual(["wrong hold"]);
  });

  test("that was made in full is found", async () => {
    const { id, model } = grown();
    const { number, bodyBytes } = one(evidence.asked, ({ requestId }) => requestId === id);
    const wrong = holdFor(model, promptBound(bodyBytes), number);
    expect(await claimsOn(planted(`UPDATE holds SET amount = ${wrong}, mode = 'full' WHERE id = '${id}'`))).toEqual(["wrong hold"]);
  });
});

describe("an Idempotency-Key", () => {
  /** The hold that has a try's key, and had ended when the try was sent: no clock's slack speaks for the try. */
  const holderOf = ({ accountId, key, sentAt }: Asked): HoldRow | undefined =>
    books.holds.find(
      (each) =>
        each.accountId === accountId &&
        each.idempotencyKey === key &&
        (each.charged ?? 0n) > 0n &&
        (each.closedAt ?? Infinity) + 100 < sentAt,
    );
  /** A try that was refused because its request is over, and the hold that has its key. */
  const lost = (): { readonly asked: Asked; readonly holder: HoldRow } => {
    const asked = one(evidence.asked, (each) => each.code === "stream_lost" && each.isMetered && holderOf(each) !== undefined);
    return { asked, holder: holderOf(asked) as HoldRow };
  };
  const later = (holder: HoldRow, changes: string): string => `
    CREATE TEMP TABLE again AS SELECT * FROM holds WHERE id = '${holder.id}';
    UPDATE again SET id = 'req_again', created_at = closed_at + 5000, closed_at = closed_at + 6000${changes};
    INSERT INTO holds SELECT * FROM again;`;

  test("under which a request was held for again after it was charged is found", async () => {
    const { holder } = lost();
    const sql = later(holder, ", state = 'voided', charged = 0, basis = 'none'");
    expect(await claimsOn(planted(sql))).toEqual(["ran twice"]);
  });

  test("under which a request was charged again is found", async () => {
    const { holder } = lost();
    expect(await claimsOn(planted(later(holder, "")))).toEqual(["double", "lost", "ran twice", "wrong balance"]);
  });

  test("under which the upstream was asked again without a hold is found", async () => {
    const { asked } = lost();
    const call = one(evidence.calls, ({ number }) => number === asked.number);
    const calls = [...evidence.calls, { ...call, arrivedAt: asked.endedAt }];
    expect(await claimsOn(place, { ...evidence, calls })).toEqual(["ran twice"]);
  });

  test("that the ledger forgot is found", async () => {
    const { holder } = lost();
    const claims = await claimsOn(planted(`UPDATE holds SET idem_key = NULL WHERE id = '${holder.id}'`));
    expect(claims).toEqual(["ran twice", "wrong refusal"]);
  });

  test.each(["idempotency_in_progress", "idempotency_mismatch"])("that is refused with %s, which is not so, is found", async (code) => {
    const { asked } = lost();
    const wrong = evidence.asked.map((each) => (each === asked ? { ...each, code } : each));
    expect(await claimsOn(place, { ...evidence, asked: wrong })).toEqual(["wrong refusal"]);
  });

  test("that a death did not free, though nothing was noted before, is found", async () => {
    const freed = one(books.holds, (each) => each.idempotencyKey !== null && each.state === "recovered" && each.charged === 0n);
    const cut = one(evidence.asked, ({ key, accountId }) => key === freed.idempotencyKey && accountId === freed.accountId);
    const at = (freed.closedAt ?? 0) + 10;
    const refused: Asked = { ...cut, ending: "refused", code: "stream_lost", requestId: "req_new", text: "", sentAt: at, endedAt: at + 1 };
    const isLater = ({ idempotencyKey, createdAt }: HoldRow): boolean => idempotencyKey === freed.idempotencyKey && createdAt > at;
    const holds = books.holds.filter((each) => !isLater(each));
    const found = judge({ ...evidence, asked: [...evidence.asked, refused] }, { ...books, holds });
    expect(found.map(({ claim }) => claim)).toContain("wrong refusal");
  });

  test("of an account that does not pay, under which something was charged, is found", async () => {
    const { id } = one(books.holds, ({ walletId, state }) => walletId === null && state === "settled");
    expect(await claimsOn(planted(`UPDATE holds SET charged = 1 WHERE id = '${id}'`))).toContain("wrong charge");
  });
});

test("a trial in which too little happened proves nothing", () => {
  expect(missing(verdict.tally, "relay", 4)).toEqual(verdict.missing);
  const lack = (change: object): string[] => missing({ ...verdict.tally, ...change }, "relay", 12);
  expect(lack({ "streams whole": 1 })).toContain("streams whole: 1, which is less than 60");
  expect(lack({ "sliding holds that grew": 0 })).toContain("sliding holds that grew: 0, which is less than 12");
  expect(missing(verdict.tally, "peer", 3)).toContain("holds ended by another relay: 0, which is less than 1");
  expect(missing(verdict.tally, "none", 3)).toContain("streams settled after they had ended: 0, which is less than 1");
  expect(lack({ "refused: stream_lost": 0 })).toContain("refused: stream_lost: 0, which is less than 12");
});
