/** A process that says on its output what its store has acknowledged, word by word, so that a trace shows what came before. */
import "../../bin/runtime.js";
import { writeSync } from "node:fs";
import { newKeyRecord } from "../../src/admission/keys.ts";
import { openBooks } from "../../src/store/open-store.ts";
import { credit, hold, settle } from "../ledger/operations.ts";

const [dataDir = "", durability = ""] = process.argv.slice(2);
const ROUNDS = 10;

const books = await openBooks({
  dataDir,
  database: { kind: "sqlite", path: `${dataDir}/millrace.db` },
  durability: durability === "power" ? "power" : "process",
  onTrouble: (message) => writeSync(2, message),
});
const { ledger, store } = books;

async function say(word: string, done: Promise<unknown>): Promise<void> {
  await done;
  writeSync(1, `${word}\n`);
}

await say("wallet", ledger.ask({ kind: "open_wallet", accountId: "acme", floorNanos: 0n }));
const account = { id: "acme", name: "acme", isMetered: true, tier: null, status: "active", createdAt: 1 } as const;
await say("account", store.write([{ kind: "account", account, before: null }]));
const { record } = newKeyRecord("acme", "key", 1);
await say("key", store.write([{ kind: "key", key: record, before: null }]));
let revoked = record;
for (let n = 0; n < ROUNDS; n++) {
  await say("grant", ledger.ask(credit(`order-${n}`, 1_000n)));
  await say("hold", ledger.ask(hold(`r${n}`, 100n)));
  await say("settle", ledger.ask(settle(`r${n}`, 50n)));
  const before = revoked;
  revoked = { ...record, revokedAt: n + 1 };
  await say("revocation", store.write([{ kind: "key", key: revoked, before }]));
}
await books.close();
