/** `millrace key create|list|revoke`: through a running relay when `MILLRACE_URL` is set, else in the data directory. */
import { join } from "node:path";
import type { Command } from "commander";
import { DEFAULT_ACCOUNT, KeyRing, newKeyRecord } from "../admission/keys.ts";
import { loadConfig } from "../config/load.ts";
import { shown } from "../control/shown-key.ts";
import { SqliteStore } from "../store/sqlite-store.ts";
import { adminCall } from "./admin-call.ts";
import { fail } from "./fail.ts";
import { table } from "./table.ts";

/** As the control API has it. */
const NAME_LENGTH_MAX = 100;

type Shown = Readonly<Record<string, unknown>>;

/** What the commands need, from a relay or from its files. */
interface Keys {
  create(account: string, name: string): Promise<Shown>;
  list(): Promise<Shown[]>;
  revoke(id: string): Promise<Shown | null>;
}

interface Where {
  readonly data?: string;
  readonly json?: boolean;
}

export function addKeyCommands(program: Command): void {
  const key = program.command("key").description("API keys");
  key
    .command("create")
    .description("make a key; it is shown once")
    .option("--account <id>", "whose key it is", DEFAULT_ACCOUNT)
    .option("--name <name>", "a name to know it by", "key")
    .option("--data <dir>", "data directory (./data)")
    .option("--json", "print JSON")
    .action((given: Where & { account: string; name: string }) =>
      withKeys(given, async (keys) => {
        const made = await keys.create(given.account, given.name);
        print(given, made, `${String(made["key"])}\n`);
      }),
    );
  key
    .command("list")
    .description("list keys, without their text")
    .option("--data <dir>", "data directory (./data)")
    .option("--json", "print JSON")
    .action((given: Where) =>
      withKeys(given, async (keys) => {
        const data = await keys.list();
        print(given, { data, next: null }, table(["id", "account_id", "name", "hint", "created_at", "revoked_at"], data));
      }),
    );
  key
    .command("revoke <id>")
    .description("end a key; it stops working within a second")
    .option("--data <dir>", "data directory (./data)")
    .option("--json", "print JSON")
    .action((id: string, given: Where) =>
      withKeys(given, async (keys) => {
        const revoked = await keys.revoke(id);
        if (revoked === null) return fail(`there is no key ${id}: \`millrace key list\` shows them`, 1);
        print(given, revoked, `revoked ${id}\n`);
      }),
    );
}

function print(given: Where, json: unknown, text: string): void {
  process.stdout.write(given.json === true ? `${JSON.stringify(json)}\n` : text);
}

async function withKeys(given: Where, act: (keys: Keys) => Promise<void>): Promise<void> {
  const url = process.env["MILLRACE_URL"];
  if (url !== undefined && url !== "") return act(remoteKeys(url, process.env["MILLRACE_ADMIN_TOKEN"] ?? ""));
  const loaded = await loadConfig({ data: given.data, env: process.env, cwd: process.cwd() });
  const dataDir = loaded.ok ? loaded.config.dataDir : (given.data ?? "./data");
  const store = await SqliteStore.open({
    dataDir,
    databasePath: loaded.ok ? loaded.config.databasePath : join(dataDir, "millrace.db"),
    onTrouble: (message) => fail(message, 1),
  });
  try {
    await store.ensureAccount(DEFAULT_ACCOUNT, "default", false, Date.now());
    await act(localKeys(new KeyRing(store)));
  } finally {
    await store.close();
  }
}

function localKeys(ring: KeyRing): Keys {
  return {
    create: async (account, name) => {
      if (account !== DEFAULT_ACCOUNT) throw new Error(`there is no account ${account}`);
      const trimmed = name.trim();
      if (trimmed === "" || trimmed.length > NAME_LENGTH_MAX)
        throw new Error(`a key's name has 1 to ${NAME_LENGTH_MAX} characters: choose another`);
      const { text, record } = newKeyRecord(account, trimmed, Date.now());
      await ring.insert(record);
      return { ...shown(record), key: text };
    },
    list: async () => ring.list().map(shown),
    revoke: async (id) => {
      const revoked = await ring.revoke(id, Date.now());
      return revoked === null ? null : shown(revoked);
    },
  };
}

function remoteKeys(url: string, token: string): Keys {
  return {
    create: async (account, name) => found(await adminCall(url, token, "POST", "/admin/api/keys", { account_id: account, name })) as Shown,
    list: async () => {
      const all: Shown[] = [];
      let cursor = "";
      for (;;) {
        const answer = await adminCall(url, token, "GET", `/admin/api/keys?limit=500${cursor}`);
        const page = found(answer) as { data: Shown[]; next: string | null };
        all.push(...page.data);
        if (page.next === null) return all;
        cursor = `&cursor=${encodeURIComponent(page.next)}`;
      }
    },
    revoke: async (id) => (await adminCall(url, token, "DELETE", `/admin/api/keys/${encodeURIComponent(id)}`)) as Shown | null,
  };
}

/** A relay that does not know the address of its keys is another version, or no relay. */
function found(answer: unknown): unknown {
  if (answer === null) throw new Error("this relay has no control API for keys: is MILLRACE_URL right?");
  return answer;
}
