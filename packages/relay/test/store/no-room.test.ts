/** Neither the database nor the disk takes a row. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { RowKeeper } from "../../src/store/keeper/row-keeper.ts";
import { Spool } from "../../src/store/keeper/spool.ts";
import { call, MESSAGES } from "../support/call.ts";
import { startRelay } from "../support/start-relay.ts";
import { until } from "../simulator/raw-client.ts";
import { row } from "./row.ts";

test(
  "what is refused while there is no room leaves a line in the log and a count, and nothing in memory",
  { timeout: 30_000 },
  async () => {
    const relay = await startRelay({ upstreams: { a: {} } });
    const other = new DatabaseSync(join(relay.dataDir, "millrace.db"));
    other.exec("BEGIN IMMEDIATE");
    rmSync(join(relay.dataDir, "spool.reserve"));
    mkdirSync(join(relay.dataDir, "spool"));
    const ask = (): ReturnType<typeof call> => call(relay, { body: { model: "m", messages: MESSAGES } });
    expect((await ask()).status).toBe(503);
    expect(relay.books.rows.hasRoom).toBe(false);
    const { waiting } = relay.books.rows;
    const lines = relay.logLines.length;
    for (let n = 0; n < 50; n++) expect((await ask()).status).toBe(503);
    expect(relay.books.rows.waiting).toBeLessThanOrEqual(waiting);
    expect(relay.logLines.slice(lines).filter((line) => line.includes("store_unavailable"))).toHaveLength(50);
    expect(relay.app.metrics.render()).toMatch(/refus\w+\{code="store_unavailable"\} 50/);
    rmSync(join(relay.dataDir, "spool"), { recursive: true });
    other.exec("ROLLBACK");
    other.close();
    await until(() => relay.books.rows.hasRoom, 12_000);
    await relay.close();
  },
);

test("what is in memory alone has a bound, a settlement takes the place of a row without one, and what is lost is told", async () => {
  const directory = mkdtempSync(join(tmpdir(), "millrace-no-room-"));
  mkdirSync(join(directory, "spool"));
  const troubles: string[] = [];
  const down = { write: () => Promise.resolve({ reason: "down", isOwn: false }), trouble: "down", hasRoom: true, waiting: 0 };
  const ledger = { ask: () => Promise.resolve({ ok: false, code: "store_unavailable" } as const) };
  const keeper = new RowKeeper({
    store: down,
    ledger,
    spool: new Spool(join(directory, "spool")),
    onTrouble: (text) => troubles.push(text),
  });
  const ending = (id: string) => ({ kind: "void", id, endReason: "upstream_failed" }) as const;
  await expect(keeper.record(row("req_bare"))).rejects.toThrow("spool file");
  for (let n = 1; n < 10_000; n++) await expect(keeper.record(row(`req_${n}`), ending(`req_${n}`))).rejects.toThrow("spool file");
  expect([keeper.waiting, troubles]).toEqual([10_000, []]);
  for (const id of ["req_paid", "req_more"]) await expect(keeper.record(row(id), ending(id))).rejects.toThrow("spool file");
  await expect(keeper.record(row("req_free"))).rejects.toThrow("spool file");
  expect(keeper.waiting).toBe(10_000);
  expect(troubles.map((trouble) => trouble.slice(0, 25))).toEqual(
    ["row req_bare is lost: 10,0", "row req_more is lost: 10,0", "row req_free is lost: 10,0"].map((text) => text.slice(0, 25)),
  );
  keeper.close();
  rmSync(directory, { recursive: true });
});
