import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openBooks } from "../../src/store/open-store.ts";
import type { Books } from "../../src/store/open-store.ts";
import { read } from "../../src/store/sql/sql.ts";
import { run } from "../cli/command.ts";
import { credit, hold, must, settle } from "../ledger/operations.ts";
import { DIALECTS, newPlace } from "./places.ts";
import type { Place } from "./places.ts";

const WORKERS = 20;
const BACKUPS = 4;
const PROGRESS = /^\w[\w ]* \[[#.]+\] [\d,]+ of [\d,]+ rows\n/gm;

/** Holds and settles until told to stop. @returns what the books have acknowledged so far. */
function work(books: Books, isOver: () => boolean): { settled: Set<string>; done: Promise<unknown> } {
  const settled = new Set<string>();
  const worker = async (number: number): Promise<void> => {
    for (let n = 0; !isOver(); n++) {
      const id = `req_${number}_${n}`;
      must(await books.ledger.ask(hold(id, 100n)));
      must(await books.ledger.ask(settle(id, BigInt(n % 97))));
      settled.add(id);
    }
  };
  return { settled, done: Promise.all(Array.from({ length: WORKERS }, (_, number) => worker(number))) };
}

/** The wallet's transfers in their order. */
async function transfersOf(place: Place): Promise<string[]> {
  const rows = await place.run(() => read("SELECT wallet_seq, id, amount, balance_after FROM transfers ORDER BY wallet_seq", []));
  return rows.map((row) => Object.values(row).join(" "));
}

test.each(DIALECTS)(
  "%s: a backup taken while the relay writes is one moment of the books, with all that was acknowledged before it",
  { timeout: 120_000 },
  async (dialect) => {
    const files = mkdtempSync(join(tmpdir(), "millrace-live-"));
    const source = await newPlace(dialect);
    const books = await openBooks({ ...source, durability: "process", onTrouble: () => undefined });
    must(await books.ledger.ask({ kind: "open_wallet", accountId: "acme", floorNanos: 0n }));
    must(await books.ledger.ask(credit("top-up", 10n ** 12n)));
    let isOver = false;
    const { settled, done } = work(books, () => isOver);
    const moments: { target: Place; before: readonly string[] }[] = [];
    for (let n = 0; n < BACKUPS; n++) {
      const before = [...settled];
      const file = join(files, `${n}.gz`);
      const backedUp = await run(["backup", file], { env: source.env });
      expect(backedUp.code).toBe(0);
      // A slow machine sees how far it is, and nothing else.
      expect(backedUp.err.replaceAll(PROGRESS, "")).toBe("");
      const target = await newPlace(dialect);
      expect(await run(["restore", file], { env: target.env })).toMatchObject({
        code: 0,
        out: expect.stringContaining("the books agree") as string,
      });
      moments.push({ target, before });
    }
    isOver = true;
    await done;
    await books.close();
    const all = await transfersOf(source);
    for (const { target, before } of moments) {
      const transfers = await transfersOf(target);
      expect(transfers).toEqual(all.slice(0, transfers.length));
      const holds = await target.run(() => read("SELECT id FROM holds WHERE state = 'settled'", []));
      const found = new Set(holds.map((row) => row["id"]));
      expect(before.filter((id) => !found.has(id))).toEqual([]);
      await target.remove();
    }
    expect(moments.at(-1)?.before.length).toBeGreaterThan(100);
    await source.remove();
    rmSync(files, { recursive: true });
  },
);
