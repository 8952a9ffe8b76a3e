import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RequestRow } from "../../src/insight/row.ts";
import { openBooks } from "../../src/store/open-store.ts";
import type { Books } from "../../src/store/open-store.ts";
import { Spool } from "../../src/store/keeper/spool.ts";
import { DATABASES } from "../support/databases.ts";
import type { TestDatabase } from "../support/databases.ts";
import { row } from "./row.ts";

const bad = { basis: "guessed" as RequestRow["basis"] };
const end = { kind: "settle", costNanos: 30n, basis: "exact", inputTokens: 3, outputTokens: 4, endReason: "complete" } as const;
const asked = { accountId: "acme", keyId: "key_1", model: "m", mode: "full", isMetered: true, budgetIds: [], priceId: "p" } as const;

describe.each(Object.entries(DATABASES))("on %s", (name, newDatabase) => {
  let dataDir: string;
  let database: TestDatabase;
  let books: Books;
  let troubles: string[];
  beforeEach(async () => {
    dataDir = mkdtempSync(join(tmpdir(), "millrace-poison-"));
    database = await newDatabase();
    troubles = [];
    books = await open();
  });
  afterEach(async () => {
    await books.close();
    rmSync(dataDir, { recursive: true });
  });

  const open = (): Promise<Books> =>
    openBooks({ dataDir, database: database.configIn(dataDir), durability: "process", onTrouble: (message) => troubles.push(message) });
  const query = async (sql: string): Promise<unknown[][]> => (await database.query(dataDir, sql)).map((each) => Object.values(each));
  const isThere = (file: string): boolean => existsSync(join(dataDir, file));
  const badLines = (): { reason: string; line: string }[] =>
    readFileSync(join(dataDir, "spool.bad"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { reason: string; line: string });

  async function sell(...ids: string[]): Promise<void> {
    const credit = { kind: "credit", accountId: "acme", amountNanos: 1_000n, lotKind: "paid", priority: 100 } as const;
    await books.ledger.ask({ kind: "open_wallet", accountId: "acme", floorNanos: 0n });
    await books.ledger.ask({ ...credit, isRefundable: true, expiresAtMs: null, reference: "top-up", reason: "t", actor: "t" });
    for (const id of ids) await books.ledger.ask({ kind: "hold", id, amountNanos: 100n, ...asked });
  }

  /** A spool of a former life, which the next start drains before it ends the holds. */
  async function startOverWith(fill: (spool: Spool) => void): Promise<void> {
    await books.close();
    const spool = new Spool(join(dataDir, "spool"));
    fill(spool);
    spool.close();
    books = await open();
  }

  test("an entry that can never be stored goes to spool.bad, whole and with its reason, and the others are stored", async () => {
    await sell("req_a", "req_b");
    await startOverWith((spool) => {
      spool.append({ row: row("req_a", { accountId: "acme" }), ending: { ...end, id: "req_a" } });
      spool.append({ row: row("req_bad", bad), ending: null });
      for (let n = 0; n < 600; n++) spool.append({ row: row(`req_${n}`), ending: null });
      spool.append({ row: row("req_b", { accountId: "acme" }), ending: { ...end, id: "req_b" } });
    });
    expect([isThere("spool"), isThere("spool.taken")]).toEqual([false, false]);
    expect(await query("SELECT count(*) FROM requests")).toEqual([[602n]]);
    expect(await query("SELECT id, state, charged FROM holds ORDER BY id")).toEqual([
      ["req_a", "settled", 30n],
      ["req_b", "settled", 30n],
    ]);
    expect(badLines()).toEqual([{ reason: expect.stringMatching(/constraint/i) as string, line: expect.any(String) as string }]);
    expect(JSON.parse(badLines()[0]?.line ?? "")).toEqual({ row: { ...row("req_bad"), ...bad }, ending: null });
    expect(troubles.filter((trouble) => trouble.includes("spool.bad"))).toEqual([
      expect.stringMatching(/^1 lines of the spool file .*constraint/i),
    ]);
  });

  test("a hold is settled even if the row that came with it can never be stored", async () => {
    await sell("req_bad", "req_void");
    await startOverWith((spool) => {
      spool.append({ row: row("req_bad", { ...bad, accountId: "acme" }), ending: { ...end, id: "req_bad" } });
      spool.append({
        row: row("req_void", { ...bad, accountId: "acme" }),
        ending: { kind: "void", id: "req_void", endReason: "store_unavailable" },
      });
    });
    expect(await query("SELECT id, state, charged FROM holds ORDER BY id")).toEqual([
      ["req_bad", "settled", 30n],
      ["req_void", "voided", 0n],
    ]);
    expect(badLines().map(({ reason }) => reason.endsWith("its hold is ended, its row is not stored"))).toEqual([true, true]);
    expect(await query("SELECT balance, held FROM wallets")).toEqual([[970n, 0n]]);
  });

  test("a line of spool.bad that was mended is stored when it is put back", async () => {
    await startOverWith((spool) => spool.append({ row: row("req_bad", bad), ending: null }));
    await books.close();
    writeFileSync(join(dataDir, "spool"), `${badLines()[0]?.line.replace("guessed", "exact") ?? ""}\n`);
    books = await open();
    expect(await query("SELECT id, basis FROM requests")).toEqual([["req_bad", "exact"]]);
  });

  test.runIf(name === "PostgreSQL")("a row with a U+0000 of an earlier version does not stand in the way", async () => {
    await startOverWith((spool) => {
      spool.append({ row: row("req_nul", { model: "a\0b" }), ending: null });
      spool.append({ row: row("req_1"), ending: null });
    });
    expect(await query("SELECT id FROM requests")).toEqual([["req_1"]]);
    expect(badLines()).toHaveLength(1);
  });
});
