/** What an upstream says that it billed is what the relay wrote down of it, on SQLite and on PostgreSQL. */
import { reconcile } from "@millrace/policy/reconcile";
import type { RecordedLine, Reconciliation } from "@millrace/policy/reconcile";
import { readUsageExport } from "@millrace/policy/usage-export";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { AttemptRow, RequestRow } from "../../src/insight/row.ts";
import { dataOf, startControlPlane } from "../control/control-plane.ts";
import type { ControlPlane, Json } from "../control/control-plane.ts";
import { call, MESSAGES } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { EXPORTS } from "./exports.ts";
import { pricesOf, Provider, usdOf } from "./provider.ts";
import type { Billed, Turn } from "./provider.ts";

const DAYS = ["2026-11-01", "2026-11-02", "2026-11-03"] as const;
const RANGE = "from=2026-11-01T00:00:00Z&to=2026-11-04T00:00:00Z";

function told(bills: readonly Billed[], form: (bills: readonly Billed[]) => string): Parameters<typeof reconcile>[0] {
  const read = readUsageExport(form(bills));
  if ("fault" in read) throw new Error(read.fault);
  return read;
}

function recorded(rows: readonly Json[]): RecordedLine[] {
  const count = (row: Json, name: string): bigint => BigInt(String(row[name]));
  return rows.map((row) => ({
    day: String(row["day"]),
    model: String(row["upstream_model"]),
    tokens: {
      input: count(row, "input_tokens"),
      cachedInput: count(row, "cached_input_tokens"),
      cacheWrite: count(row, "cache_write_tokens"),
      output: count(row, "output_tokens"),
    },
    costNanos: row["cost_nanos"] === null ? null : count(row, "cost_nanos"),
    withoutUsage: Number(row["without_usage"]),
  }));
}

describe.each(Object.entries(DATABASES))("on %s", (_name, open) => {
  const providers = { a: new Provider("alpha-1"), b: new Provider("beta-1") };
  let plane: ControlPlane;
  let asked = 0;

  beforeAll(async () => {
    // The wall clock alone stands still, and is moved from day to day.
    vi.useFakeTimers({ toFake: ["Date"], now: Date.parse(`${DAYS[0]}T00:00:00Z`) });
    const upstreams = { a: providers.a.upstream, b: providers.b.upstream };
    plane = await startControlPlane({ database: await open(), upstreams, prices: pricesOf(providers) });
    const turns: readonly (readonly Turn[])[] = [
      ["good", "refused", "failed", "broken", "good"],
      ["good", "refused", "broken"],
      ["good", "good"],
    ];
    for (const [at, day] of DAYS.entries()) {
      vi.setSystemTime(Date.parse(`${day}T23:59:59.999Z`));
      for (const turn of turns[at] ?? []) for (const stream of [true, turn !== "good"]) await send(turn, stream);
    }
    vi.setSystemTime(Date.parse(`${DAYS[2]}T00:00:00Z`));
    await send("good", true);
  }, 60_000);
  afterAll(async () => {
    vi.useRealTimers();
    await plane.close();
  });

  async function send(turn: Turn, stream: boolean): Promise<void> {
    providers.a.turn = turn;
    await call(plane.relay, { body: { model: "m", stream, messages: MESSAGES } });
    await plane.relay.row(++asked);
  }

  async function against(name: "a" | "b", form: string, bills: readonly Billed[] = providers[name].bills): Promise<Reconciliation> {
    const rows = await plane.all(`upstream-usage?upstream=${name}&${RANGE}`);
    return reconcile(told(bills, EXPORTS[form] ?? (() => "")), recorded(rows), 0n);
  }

  test.each(Object.keys(EXPORTS))("every token that was billed is found, by %s", async (form) => {
    for (const name of ["a", "b"] as const) {
      const result = await against(name, form);
      const off = result.lines.filter(({ compared }) => compared.some(({ what, difference }) => what !== "cost" && difference !== 0n));
      expect([name, off]).toEqual([name, []]);
      expect(result.totals.withoutUsage).toBe(0);
    }
    expect((await against("a", form)).lines.map(({ day }) => day)).toEqual(DAYS);
    // The second upstream got what the first one refused or failed at.
    expect((await against("b", form)).lines.map(({ day }) => day)).toEqual(DAYS.slice(0, 2));
  });

  test("failed and broken attempts are among them", async () => {
    const rows = await plane.relay.query(
      "SELECT outcome, count(*) AS n FROM attempts WHERE input_tokens IS NOT NULL AND upstream = 'a' GROUP BY 1",
    );
    const counts = Object.fromEntries(rows.map((row) => [String(row["outcome"]), Number(row["n"])])) as Record<string, number>;
    expect(counts).toEqual({ ok: 11, failed: 2, upstream_failed: 4 });
    expect(providers.a.bills.length).toBe(17);
  });

  test("costs agree to the rounding of each request; where two upstreams share a request's cost there is none", async () => {
    const rows = await plane.all(`upstream-usage?upstream=a&${RANGE}`);
    expect(rows.map((row) => [row["day"], row["attempts"], row["cost"] === null])).toEqual([
      ["2026-11-01", 10, true],
      ["2026-11-02", 6, false],
      ["2026-11-03", 5, false],
    ]);
    for (const row of rows.slice(1)) {
      const bills = providers.a.bills.filter(({ day }) => day === row["day"]);
      const pico = bills.reduce((sum, bill) => sum + BigInt(usdOf(bill).replace(".", "")), 0n);
      const excess = BigInt(String(row["cost_nanos"])) * 1000n - pico;
      expect(excess >= 0n && excess < BigInt(bills.length) * 1000n).toBe(true);
    }
    expect((await against("a", "a plain table with costs")).linesWithoutCost).toBe(1);
  });

  test("a planted difference of 0.6 % is told, one of 0.4 % is not", async () => {
    const rows = recorded(await plane.all(`upstream-usage?upstream=a&${RANGE}`));
    for (const form of Object.values(EXPORTS)) {
      for (const [perMille, isTold] of [
        [4, false],
        [6, true],
        [-4, false],
        [-6, true],
      ] as const) {
        // Scaled up first, so that a thousandth is a whole number of tokens.
        const planted = (bill: Billed): Billed => ({ ...bill, output: bill.output * (1000 + (bill.day === DAYS[1] ? perMille : 0)) });
        const bills = providers.a.bills.map((bill) => planted(bill));
        const ours = rows.map((row) => ({ ...row, tokens: { ...row.tokens, output: row.tokens.output * 1000n } }));
        const result = reconcile({ ...told(bills, form), hasCost: false }, ours, 5_000n);
        expect([perMille, result.lines.filter(({ verdict }) => verdict === "differs").map(({ day }) => day)]).toEqual([
          perMille,
          isTold ? [DAYS[1]] : [],
        ]);
      }
    }
  });

  test("an export that was cut never agrees, or is refused", async () => {
    const rows = recorded(await plane.all(`upstream-usage?upstream=a&${RANGE}`));
    for (const form of Object.values(EXPORTS)) {
      const text = form(providers.a.bills);
      // Zeros at the end of a decimal number say nothing.
      for (let end = 0; end < text.replace(/[0\s]+$/, "").length; end += 7) {
        const read = readUsageExport(text.slice(0, end));
        const agrees = !("fault" in read) && reconcile(read, rows, 0n).agrees;
        expect([end, agrees]).toEqual([end, false]);
      }
    }
  });

  test("pages of one row hold the same as one page", async () => {
    const whole = await plane.all(`upstream-usage?upstream=a&${RANGE}`);
    expect(await plane.all(`upstream-usage?upstream=a&${RANGE}`, 1)).toEqual(whole);
    expect(dataOf(await plane.made("GET", `upstream-usage?upstream=a&${RANGE}&limit=1`))[0]).toMatchObject({
      day: "2026-11-01",
      upstream: "a",
      upstream_model: "alpha-1",
      attempts: 10,
      without_usage: 0,
    });
    expect(await plane.all("upstream-usage?upstream=nobody")).toEqual([]);
    expect(await plane.all("upstream-usage?upstream=a&from=2026-11-02T12:00:00Z&to=2026-11-02T12:00:01Z")).toEqual([]);
  });

  test.each([
    [""],
    ["upstream="],
    ["upstream=a&from=2026-01-01T00:00:00Z&to=2026-11-01T00:00:00Z"],
    ["upstream=a&from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z"],
    ["upstream=a&from=yesterday"],
    ["upstream=a&cursor=xyz"],
    ["upstream=a&model=m"],
  ])("asked for too much, or for what is not kept, it refuses: %s", async (query) => {
    expect((await plane.ask("GET", `upstream-usage?${query}`)).status).toBe(400);
  });

  test("attempts that may have been billed without telling their usage are counted, and no others", async () => {
    const usage = { input: 10, cachedInput: 4, cacheWrite: 2, output: 5, reasoning: 1 };
    const attempt = (n: number, more: Partial<AttemptRow>): AttemptRow => ({
      n,
      upstream: "c",
      upstreamModel: "x",
      outcome: "ok",
      status: 200,
      detail: null,
      upstreamRequestId: null,
      usage: null,
      ttftMs: null,
      durationMs: 1,
      ...more,
    });
    const attempts = [
      attempt(1, { outcome: "connect", status: null }),
      attempt(2, { outcome: "throttled", status: 429 }),
      attempt(3, { outcome: "failed", status: 500 }),
      attempt(4, { outcome: "failed", status: 200 }),
      attempt(5, { outcome: "timeout", status: null }),
      attempt(6, { outcome: "cancelled", status: 200, upstreamModel: "y" }),
      attempt(7, { usage }),
      attempt(8, { usage, upstream: "other" }),
      attempt(9, { usage, upstreamModel: "z" }),
    ];
    await plane.relay.books.rows.record({ ...requestOf("req_c"), attempts });
    const rows = await plane.all("upstream-usage?upstream=c&from=2026-10-01T00:00:00Z", 2);
    expect(rows.map((row) => [row["upstream_model"], row["attempts"], row["without_usage"], row["input_tokens"], row["cost"]])).toEqual([
      ["x", 6, 2, 10, null],
      ["y", 1, 1, 0, "0.00"],
      ["z", 1, 0, 10, null],
    ]);
    expect(rows[0]).toMatchObject({ cached_input_tokens: 4, cache_write_tokens: 2, output_tokens: 5, reasoning_tokens: 1 });
  });
});

function requestOf(id: string): Omit<RequestRow, "attempts"> {
  return {
    id,
    at: Date.parse("2026-10-05T12:00:00Z"),
    accountId: "default",
    keyId: "key_1",
    endpoint: "chat",
    model: "m",
    upstream: "c",
    upstreamModel: "z",
    isStream: true,
    status: 200,
    endReason: "complete",
    errorCode: null,
    marks: [],
    usage: { input: 10, cachedInput: 4, cacheWrite: 2, output: 5, reasoning: 1 },
    basis: "exact",
    priceId: null,
    chargeNanos: null,
    costNanos: "100",
    events: 5,
    bytesOut: 100,
    ttftMs: 1.5,
    itlMeanMs: 0.2,
    itlMaxMs: 1,
    overheadMs: 0.3,
    durationMs: 9,
    revision: 1,
  };
}
