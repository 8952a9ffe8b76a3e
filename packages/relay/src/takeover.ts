/** What a relay does at its start, or, where it takes over from one that ends, as soon as it has port and books. */
import { setTimeout as sleep } from "node:timers/promises";
import { ensureDefaultAccount } from "./admission/default-account.ts";
import type { App } from "./app.ts";
import { errorText } from "./basics/error-text.ts";
import type { Config } from "./config/config.ts";
import { ensureFirstKey } from "./first-key.ts";
import type { FirstKey } from "./first-key.ts";
import { openWallet } from "./ledger/balance.ts";
import type { LedgerPort } from "./ledger/balance.ts";

const LISTEN_AGAIN_MS = 20;

/** Stores what must be in the books before everybody can be served. */
export async function beginBooks(app: App, ledger: LedgerPort, { dataDir, firstKey }: Config): Promise<FirstKey> {
  await ensureDefaultAccount(app.accounts);
  for (const account of app.accounts.list()) if (account.isMetered) await openWallet(ledger, account.id);
  return ensureFirstKey(app.keys, dataDir, firstKey);
}

/**
 * Tries again while a relay that ends may still have the port.
 * @param withinMs for how long.
 * @returns the port. Rejects when the address cannot be bound.
 */
export async function listenWhenFree(app: App, withinMs: number): Promise<number> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await app.listen();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE" || performance.now() >= deadline) throw error;
    }
    await sleep(LISTEN_AGAIN_MS);
  }
}

export interface TakeoverParts {
  /** True once the books are here, false when this relay was ended before; rejects when they cannot be opened. */
  readonly opened: Promise<boolean>;
  /** See {@link beginBooks}. */
  readonly begin: () => Promise<void>;
  readonly print: (line: string) => void;
}

/** Begins when the books are here. @returns what went wrong; never settles when nothing did. */
export function takeOver({ opened, begin, print }: TakeoverParts): Promise<Error> {
  print("accounts that pay get 503 until the other relay has ended");
  const all = async (): Promise<void> => {
    if (!(await opened)) return;
    await begin();
    print("the other relay has ended: everything is served");
  };
  return new Promise((resolve) => {
    all().catch((error: unknown) => resolve(error instanceof Error ? error : new Error(errorText(error))));
  });
}
