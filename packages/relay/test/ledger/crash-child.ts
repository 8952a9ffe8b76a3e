/** A process that holds and settles until it is killed, and says on its output what the ledger has acknowledged. */
import "../../bin/runtime.js";
import { writeSync } from "node:fs";
import type { ClientConfig } from "pg";
import { Ledger, LEASE_FOREVER_MS } from "../../src/ledger/ledger.ts";
import type { LedgerStore } from "../../src/ledger/ledger.ts";
import { PostgresLedger } from "../../src/store/postgres/ledger.ts";
import { SqliteLedger } from "../../src/store/sqlite/ledger.ts";
import type { Write } from "../../src/store/tables/writes.ts";
import { credit, hold, ORDER_NANOS, settle } from "./operations.ts";
import { openSqlite } from "./sqlite-file.ts";

const WORKERS = 20;

const place = JSON.parse(process.argv[2] ?? "") as { readonly sqlite?: string; readonly postgres?: ClientConfig; readonly life: string };

function openStore(): LedgerStore<Write> {
  if (place.postgres !== undefined) return new PostgresLedger({ connection: place.postgres });
  if (place.sqlite === undefined) throw new Error("no store");
  return new SqliteLedger(openSqlite(place.sqlite));
}

const ledger = await Ledger.open(openStore(), { node: "crasher", leaseMs: LEASE_FOREVER_MS });

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

/** One line for each acknowledgement: the last word on a request is what must be found after the crash. */
async function request(id: string, n: number): Promise<void> {
  const cost = BigInt(n % 97);
  const held = await ledger.ask(hold(id, 100n, { budgetIds: ["daily"] }));
  if (!held.ok) return;
  say(`held ${id} 0`);
  await ledger.ask({ kind: "checkpoint", id, seq: 1, inputTokens: 1, outputTokens: 1, chargeNanos: cost / 2n });
  say(`checkpoint ${id} ${cost / 2n}`);
  if (n % 11 === 0) {
    if ((await ledger.ask({ kind: "void", id, endReason: "upstream_failed" })).ok) say(`voided ${id} 0`);
  } else if ((await ledger.ask(settle(id, cost))).ok) say(`settled ${id} ${cost}`);
}

async function work(worker: number): Promise<never> {
  for (let n = 0; ; n++) await request(`req_${place.life}_${worker}_${n}`, n);
}

/** Confirms the same orders in every life, each of them twice at once, as who is paid through tells of a payment again and again. */
async function pay(): Promise<never> {
  for (let n = 0; ; n++) {
    const reference = `order_${n}`;
    const results = await Promise.all([1, 2].map(() => ledger.ask(credit(reference, ORDER_NANOS))));
    if (results.some((result) => result.ok)) say(`credited ${reference} ${ORDER_NANOS}`);
  }
}

await Promise.all([pay(), ...Array.from({ length: WORKERS }, (_, worker) => work(worker))]);
