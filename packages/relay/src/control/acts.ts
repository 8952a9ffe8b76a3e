/** Everything that the control plane can do. The server and the command on a data directory do it through the same table. */
import type { AccountBook } from "../admission/accounts.ts";
import type { KeyRing } from "../admission/keys.ts";
import { Accounts } from "./accounts.ts";
import { Audit } from "./audit.ts";
import { Changes } from "./changes.ts";
import { Doorman } from "./doorman.ts";
import { Keys } from "./keys.ts";
import { Members } from "./members.ts";
import { Money } from "./money.ts";
import type { ControlLedger, ControlStore } from "./ports.ts";
import { unpricedWarnings } from "./prices.ts";
import type { Pricing } from "./prices.ts";
import { Requests } from "./requests.ts";
import { SessionActs } from "./session-acts.ts";
import type { TierView } from "./tiers.ts";
import { UpstreamUsage } from "./upstream-usage.ts";
import { Usage } from "./usage.ts";
import { WriteOffs } from "./write-offs.ts";

export interface ActsParts {
  readonly ledger: ControlLedger;
  readonly store: ControlStore;
  readonly accounts: AccountBook;
  readonly keys: KeyRing;
  /** What the running configuration says; null where it is not known. */
  readonly tiers: readonly TierView[] | null;
  readonly pricing: Pricing | null;
  /** Told of what no caller hears of. */
  readonly onTrouble: (message: string) => void;
}

export interface Acts {
  readonly accounts: Accounts;
  readonly keys: Keys;
  readonly money: Money;
  readonly members: Members;
  readonly requests: Requests;
  readonly usage: Usage;
  readonly writeOffs: WriteOffs;
  readonly upstreamUsage: UpstreamUsage;
  readonly audit: Audit;
  readonly sessions: SessionActs;
  readonly tiers: readonly TierView[];
  readonly pricing: Pricing;
}

const NO_PRICING: Pricing = { book: { prices: new Map(), costs: new Map(), derived: new Map() }, models: [] };

/** @param sessions of the server; the command has none. */
export function actsOf(parts: ActsParts, sessions: SessionActs = noSessions(parts)): Acts {
  const { ledger, store } = parts;
  const changes = new Changes(store, ledger, parts.onTrouble);
  const accounts = new Accounts({
    accounts: parts.accounts,
    store,
    tiers: parts.tiers,
    changes,
    warningsOfMetered: () => unpricedWarnings(parts.pricing),
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
    tiers: parts.tiers ?? [],
    pricing: parts.pricing ?? NO_PRICING,
  };
}

function noSessions({ store }: ActsParts): SessionActs {
  return new SessionActs(new Doorman({ adminToken: null, members: store }), false);
}
