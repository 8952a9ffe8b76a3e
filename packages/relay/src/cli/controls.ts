/** The control plane for commands: of a running relay when `MILLRACE_URL` is set, else of a data directory. */
import { AccountBook } from "../admission/accounts.ts";
import { KeyRing } from "../admission/keys.ts";
import type { DatabaseConfig } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import type { Operations, Shown } from "../control/operations.ts";
import { openBooks } from "../store/open-store.ts";
import { adminCall } from "./admin-call.ts";
import { fail } from "./fail.ts";

/** What commands can ask for; every answer is as the control API shows it. */
export interface Controls {
  createAccount(input: object): Promise<Shown>;
  accounts(): Promise<readonly Shown[]>;
  account(id: string): Promise<Shown>;
  changeAccount(id: string, input: object): Promise<Shown>;
  grantCredit(id: string, input: object): Promise<Shown>;
  balance(id: string): Promise<Shown>;
  createKey(input: object): Promise<Shown>;
  keys(): Promise<readonly Shown[]>;
  revokeKey(id: string): Promise<Shown>;
  rotateKey(id: string, input: object): Promise<Shown>;
}

/** Options that every such command has. */
export interface Where {
  readonly data?: string;
  readonly json?: boolean;
}

/** Runs `act` on the relay or on the directory, which it must have to itself. */
export async function withControls(given: Where, act: (controls: Controls) => Promise<void>): Promise<void> {
  const url = process.env["MILLRACE_URL"];
  if (url !== undefined && url !== "") return act(remoteControls(url, process.env["MILLRACE_ADMIN_TOKEN"] ?? ""));
  const loaded = await loadConfig({ data: given.data, env: process.env, cwd: process.cwd() });
  const dataDir = loaded.ok ? loaded.config.dataDir : (given.data ?? "./data");
  const database: DatabaseConfig = loaded.ok ? loaded.config.database : { kind: "sqlite", path: `${dataDir}/millrace.db` };
  const durability = loaded.ok ? loaded.config.durability : "process";
  const books = await openBooks({ dataDir, database, durability, onTrouble: (message) => fail(message, 1) });
  try {
    const [{ Operations: Made }, { ensureDefaultAccount }, { sentenceOf }] = await Promise.all([
      import("../control/operations.ts"),
      import("../admission/default-account.ts"),
      import("../control/sentence.ts"),
    ]);
    const { store, ledger, records } = books;
    const accounts = new AccountBook(store, records.accounts);
    await ensureDefaultAccount(accounts);
    await act(localControls(new Made({ ledger, accounts, keys: new KeyRing(store, records.keys), tiers: null }))).catch(
      (error: unknown) => {
        throw new Error(sentenceOf(error));
      },
    );
  } finally {
    await books.close();
  }
}

function localControls(act: Operations): Controls {
  const all = (page: (query: object) => { data: readonly Shown[]; next: string | null }): readonly Shown[] => {
    const found: Shown[] = [];
    for (let query: object = { limit: 500 }; ;) {
      const { data, next } = page(query);
      found.push(...data);
      if (next === null) return found;
      query = { limit: 500, cursor: next };
    }
  };
  return {
    createAccount: (input) => act.createAccount(input),
    accounts: async () => all((query) => act.listAccounts(query)),
    account: async (id) => act.account(id),
    changeAccount: (id, input) => act.changeAccount(id, input),
    grantCredit: (id, input) => act.grantCredit(id, input),
    balance: (id) => act.balance(id),
    createKey: (input) => act.createKey(input),
    keys: async () => all((query) => act.listKeys(query)),
    revokeKey: (id) => act.revokeKey(id),
    rotateKey: (id, input) => act.rotateKey(id, input),
  };
}

function remoteControls(url: string, token: string): Controls {
  const call = (method: "GET" | "POST" | "PATCH" | "DELETE", path: string, body?: object): Promise<Shown> =>
    adminCall(url, token, method, `/admin/api/${path}`, body) as Promise<Shown>;
  const all = async (path: string): Promise<readonly Shown[]> => {
    const found: Shown[] = [];
    for (let cursor = ""; ;) {
      const page = (await call("GET", `${path}?limit=500${cursor}`)) as unknown as { data: Shown[]; next: string | null };
      found.push(...page.data);
      if (page.next === null) return found;
      cursor = `&cursor=${encodeURIComponent(page.next)}`;
    }
  };
  const one = (kind: string, id: string, more = ""): string => `${kind}/${encodeURIComponent(id)}${more}`;
  return {
    createAccount: (input) => call("POST", "accounts", input),
    accounts: () => all("accounts"),
    account: (id) => call("GET", one("accounts", id)),
    changeAccount: (id, input) => call("PATCH", one("accounts", id), input),
    grantCredit: (id, input) => call("POST", one("accounts", id, "/credits"), input),
    balance: (id) => call("GET", one("accounts", id, "/balance")),
    createKey: (input) => call("POST", "keys", input),
    keys: () => all("keys"),
    revokeKey: (id) => call("DELETE", one("keys", id)),
    rotateKey: (id, input) => call("POST", one("keys", id, "/rotate"), input),
  };
}

/** Prints an answer as JSON or as text. */
export function print(given: Where, json: unknown, text: string): void {
  process.stdout.write(given.json === true ? `${JSON.stringify(json)}\n` : text);
}
