/** The control API on a data directory that no relay uses: the same table, run in this process. */
import { AccountRegistry } from "../admission/accounts.ts";
import { KeyRing } from "../admission/keys.ts";
import type { DatabaseConfig } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { controlStore } from "../store/control-store.ts";
import { openBooks } from "../store/open-store.ts";
import type { Books } from "../store/open-store.ts";
import { Unconfirmed } from "./admin-call.ts";
import type { Controls, Shown, Where } from "./controls.ts";
import { fail } from "./fail.ts";

/** Runs `act` on a data directory that no relay uses. */
export async function openLocal(given: Where, act: (controls: Controls) => Promise<void>): Promise<void> {
  const loaded = await loadConfig({ data: given.data, env: process.env, cwd: process.cwd() });
  const dataDir = loaded.ok ? loaded.config.dataDir : (given.data ?? "./data");
  const database: DatabaseConfig = loaded.ok ? loaded.config.database : { kind: "sqlite", path: `${dataDir}/millrace.db` };
  const durability = loaded.ok ? loaded.config.durability : "process";
  const books = await openBooks({ dataDir, database, durability, onTrouble: (message) => fail(message, 1) });
  try {
    await act(await controlsOf(books));
  } finally {
    await books.close();
  }
}

async function controlsOf({ store, access, ledger, records }: Books): Promise<Controls> {
  const [{ operationsOf }, { dispatch }, { ensureDefaultAccount }, { sentenceOf }, { Refusal }] = await Promise.all([
    import("../control/operations.ts"),
    import("../control/http/dispatch.ts"),
    import("../admission/default-account.ts"),
    import("../control/refusal-text.ts"),
    import("../control/http/refusal.ts"),
  ]);
  const accounts = new AccountRegistry(access, records.accounts);
  await ensureDefaultAccount(accounts);
  const keys = new KeyRing(access, records.keys);
  const operations = operationsOf({
    ledger,
    store: controlStore(store),
    accounts,
    keys,
    settings: () => null,
    reloader: null,
    onTrouble: (message) => fail(message, 1),
  });
  return {
    call: async (method, target, body) => {
      try {
        return (await dispatch(operations, method, target, body)) as Shown;
      } catch (error) {
        const isUnconfirmed = error instanceof Refusal && error.code === "store_unavailable";
        throw isUnconfirmed ? new Unconfirmed(sentenceOf(error)) : new Error(sentenceOf(error));
      }
    },
  };
}
