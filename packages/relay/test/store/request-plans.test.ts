/** By which index each filter of the list of requests finds its rows, as the database itself says, and that it finds the right ones. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Moment, RequestFilter } from "../../src/control/ports.ts";
import { RequestsQuery } from "../../src/control/resources/requests.ts";
import type { StoredRequest } from "../../src/insight/request-file.ts";
import { CONTROL_QUERIES } from "../../src/store/queries/control.ts";
import { REQUESTS, storedRequest } from "../../src/store/tables/request-rows.ts";
import type { Dialect } from "../../src/store/sql/dialect.ts";
import { valuesOf } from "../../src/store/sql/shape.ts";
import { writeRows } from "../../src/store/sql/sql.ts";
import type { Sql } from "../../src/store/sql/sql.ts";
import { insertInto } from "../../src/store/sql/statements.ts";
import { transaction } from "../../src/store/transaction.ts";
import { PLACES, planOf } from "./plans.ts";
import type { Place } from "./plans.ts";
import { row } from "./row.ts";

const ROWS = 20_000;
const START = Date.UTC(2026, 9, 1);
const STEP_MS = 60_000;
const LIMIT = 20;

/** Two ends of a good answer, and one request in two hundred that failed in one of three ways. */
function requestOf(n: number): StoredRequest {
  const bad = n % 200 === 0 ? (n / 200) % 3 : null;
  const endReason = bad === null ? (n % 5 === 0 ? "length" : "complete") : (["upstream_failed", "client_gone", "refused"] as const)[bad];
  return storedRequest(
    row(`req_${String(n * 7919).padStart(12, "0")}`, {
      at: START + Math.floor(n / 2) * STEP_MS,
      accountId: `acct_${n % 100}`,
      keyId: `key_${n % 200}`,
      model: n % 1_000 === 0 ? "rare" : `model_${n % 3}`,
      status: bad === null ? 200 : ([502, 200, 404][bad] ?? 200),
      endReason: endReason ?? "refused",
      attempts: [],
    }),
  );
}

/** A value for each filter that the list has, and what it means. */
const FILTERS = {
  accountId: [{ accountId: "acct_0" }, (request) => request.accountId === "acct_0"],
  keyId: [{ keyId: "key_0" }, (request) => request.keyId === "key_0"],
  model: [{ model: "model_1" }, (request) => request.model === "model_1"],
  status: [{ status: 502 }, (request) => request.status === 502],
  endReason: [{ endReason: "upstream_failed" }, (request) => request.endReason === "upstream_failed"],
  fromMs: [{ fromMs: START + 1_000 * STEP_MS }, (request) => request.at >= START + 1_000 * STEP_MS],
  toMs: [{ toMs: START + 9_000 * STEP_MS }, (request) => request.at < START + 9_000 * STEP_MS],
} as const satisfies Record<keyof RequestFilter, readonly [RequestFilter, (request: StoredRequest) => boolean]>;

type Name = keyof typeof FILTERS;

const NAMES = Object.keys(FILTERS) as Name[];
const SUBSETS: readonly (readonly Name[])[] = Array.from({ length: 2 ** NAMES.length }, (_, bits) =>
  NAMES.filter((_name, at) => (bits >> at) % 2 === 1),
);

const wishOf = (names: readonly Name[]): RequestFilter => Object.assign({}, ...names.map((name) => FILTERS[name][0])) as RequestFilter;

/** The indexes that may serve a question: of the equal ones the database chooses. */
function meant(names: readonly Name[]): string[] {
  const has = (name: Name): boolean => names.includes(name);
  const ends = [...(has("endReason") ? ["end"] : []), ...(has("status") ? ["status"] : [])];
  if (ends.length > 0)
    return ends.flatMap((end) => (has("accountId") ? [`requests_account_${end}`, `requests_${end}`] : [`requests_${end}`]));
  const owners = [...(has("accountId") ? ["requests_account"] : []), ...(has("keyId") ? ["requests_key"] : [])];
  return owners.length > 0 ? owners : ["requests_at"];
}

test("the filters here are those that the route has", () => {
  const route: Readonly<Record<string, Name>> = {
    account_id: "accountId",
    key_id: "keyId",
    end_reason: "endReason",
    from: "fromMs",
    to: "toMs",
  };
  const offered = Object.keys(RequestsQuery.shape).filter((name) => name !== "limit" && name !== "cursor");
  expect(offered.map((name) => route[name] ?? name).toSorted()).toEqual(NAMES.toSorted());
});

describe.each(Object.entries(PLACES))("%s", (name, open) => {
  const dialect = name as Dialect;
  const requests = Array.from({ length: ROWS }, (_, n) => requestOf(n));
  const newest = requests.toSorted((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1));
  let place: Place;

  beforeAll(async () => {
    place = await open();
    await place.run(() =>
      transaction(() =>
        writeRows(
          insertInto(REQUESTS),
          requests.map((request) => valuesOf(REQUESTS, request)),
        ),
      ),
    );
    await place.settle(REQUESTS.table);
  }, 60_000);
  afterAll(() => place.close());

  const ask = (wish: RequestFilter, after: Moment | null): Sql<StoredRequest[]> =>
    CONTROL_QUERIES.requests({ ...wish, after, limit: LIMIT });

  const plan = (wish: RequestFilter, after: Moment | null): Promise<string> => planOf(place, ask(wish, after));

  const indexIn = (text: string): string => /(?:USING INDEX|using|Bitmap Index Scan on) (requests_\w+)/.exec(text)?.[1] ?? text;

  test.each([
    ["from the newest", null],
    ["from a place", { atMs: START + 8_000 * STEP_MS, id: "req_1" }],
  ])("every filter, and any of them together, goes by the index that narrows most, %s", async (_where, after) => {
    const wrong: unknown[] = [];
    for (const names of SUBSETS) {
      const text = await plan(wishOf(names), after);
      const isGood = meant(names).includes(indexIn(text)) && !/Seq Scan|TEMP B-TREE|SCAN requests$/m.test(text);
      if (!isGood) wrong.push([names, meant(names), text]);
    }
    expect(wrong).toEqual([]);
  });

  test("an end or a status that no request has is looked for where there is none, and nowhere else", async () => {
    for (const [wish, index] of [
      [{ endReason: "key_revoked" }, /^requests_end$/],
      [{ endReason: "unheard_of" }, /^requests_end$/],
      [{ status: 503 }, /^requests_status$/],
      [{ keyId: "key_1", status: 503 }, /^requests_status$/],
      // PostgreSQL knows that there are none of any account.
      [{ accountId: "acct_1", endReason: "key_revoked" }, dialect === "sqlite" ? /^requests_account_end$/ : /^requests_(account_)?end$/],
      [{ accountId: "acct_1", status: 503 }, dialect === "sqlite" ? /^requests_account_status$/ : /^requests_(account_)?status$/],
    ] as const)
      expect([wish, indexIn(await plan(wish, null))]).toEqual([wish, expect.stringMatching(index)]);
  });

  test("the usual end and status are read in the order of the list, where every second row is one", async () => {
    for (const [wish, index] of [
      [{ endReason: "complete" }, "requests_at"],
      [{ status: 200 }, "requests_at"],
      [{ accountId: "acct_1", status: 200, endReason: "complete" }, "requests_account"],
      [{ keyId: "key_1", endReason: "complete" }, "requests_key"],
    ] as const) {
      const text = await plan(wish, null);
      expect([wish, indexIn(text), /Seq Scan|TEMP B-TREE|Sort/.test(text)]).toEqual([wish, index, false]);
    }
  });

  test("what is found is what was asked for, newest first", async () => {
    for (const names of SUBSETS) {
      const right = newest.filter((request) => names.every((each) => FILTERS[each][1](request)));
      const first = await place.run(() => ask(wishOf(names), null));
      expect([names, first.map((each) => each.id)]).toEqual([names, right.slice(0, LIMIT).map((each) => each.id)]);
      const last = first.at(-1);
      if (last === undefined) continue;
      const more = await place.run(() => ask(wishOf(names), { atMs: last.at, id: last.id }));
      expect([names, more.map((each) => each.id)]).toEqual([names, right.slice(LIMIT, 2 * LIMIT).map((each) => each.id)]);
    }
    for (const wish of [{ endReason: "length" }, { endReason: "complete" }, { status: 200 }, { model: "rare" }] as const) {
      const right = newest.filter((request) => Object.entries(wish).every(([key, value]) => request[key as keyof StoredRequest] === value));
      expect((await place.run(() => ask(wish, null))).map((each) => each.id)).toEqual(right.slice(0, LIMIT).map((each) => each.id));
    }
  });
});
