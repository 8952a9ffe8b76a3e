/** Everything that the control plane can do. The server and the command on a data directory do it through the same table. */
import type { AccountRegistry } from "../admission/accounts.ts";
import type { KeyRing } from "../admission/keys.ts";
import type { ConfigReloader } from "../config/reload.ts";
import { Accounts } from "./resources/accounts.ts";
import { Audit } from "./resources/audit.ts";
import { Changes } from "./changes.ts";
import { Authenticator } from "./access/authenticator.ts";
import { Configuration } from "./resources/configuration.ts";
import { Keys } from "./resources/keys.ts";
import { Members } from "./resources/members.ts";
import { Money } from "./resources/money.ts";
import type { ControlLedger, ControlStore } from "./ports.ts";
import { unpricedWarnings } from "./resources/prices.ts";
import type { Pricing } from "./resources/prices.ts";
import { Requests } from "./resources/requests.ts";
import { SessionOperations } from "./access/session-operations.ts";
import type { ControlSettings } from "./settings.ts";
import type { TierView } from "./resources/tiers.ts";
import { UpstreamUsage } from "./resources/upstream-usage.ts";
import { Usage } from "./resources/usage.ts";
import { WriteOffs } from "./resources/write-offs.ts";

export interface OperationsParts {
  readonly ledger: ControlLedger;
  readonly store: ControlStore;
  readonly accounts: AccountRegistry;
  readonly keys: KeyRing;
  /** What the running configuration says; null if it is not known. */
  readonly settings: () => ControlSettings | null;
  /** Null if no relay runs. */
  readonly reloader: ConfigReloader | null;
  /** Receives trouble that no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export interface Operations {
  readonly accounts: Accounts;
  readonly keys: Keys;
  readonly money: Money;
  readonly members: Members;
  readonly requests: Requests;
  readonly usage: Usage;
  readonly writeOffs: WriteOffs;
  readonly upstreamUsage: UpstreamUsage;
  readonly audit: Audit;
  readonly sessions: SessionOperations;
  readonly configuration: Configuration;
  readonly tiers: () => readonly TierView[];
  readonly pricing: () => Pricing;
}

const NO_PRICING: Pricing = { book: { prices: new Map(), costs: new Map(), derived: new Map() }, models: [] };

/** @param sessions of the server; the command has none. */
export function operationsOf(parts: OperationsParts, sessions: SessionOperations = noSessions(parts)): Operations {
  const { ledger, store } = parts;
  const changes = new Changes(store, ledger, parts.onTrouble);
  const accounts = new Accounts({
    accounts: parts.accounts,
    store,
    tiers: () => parts.settings()?.tiers ?? null,
    changes,
    warningsOfMetered: () => unpricedWarnings(parts.settings()?.pricing ?? null),
  });
  return {
    accounts,
    keys: new Keys({ keys: parts.keys, store, accounts, changes }),
    money: new Money({ ledger, store, accounts, changes }),
    members: new Members({ store, accounts, changes }),
    requests: new Requests(store),
    usage: new Usage(store),
    writeOffs: new WriteOffs(store),
    upstreamUsage: new UpstreamUsage(store),
    audit: new Audit(store),
    sessions,
    configuration: new Configuration({ reloader: parts.reloader, changes }),
    tiers: () => parts.settings()?.tiers ?? [],
    pricing: () => parts.settings()?.pricing ?? NO_PRICING,
  };
}

function noSessions({ store }: OperationsParts): SessionOperations {
  return new SessionOperations(new Authenticator({ adminToken: () => null, members: store }), false);
}
