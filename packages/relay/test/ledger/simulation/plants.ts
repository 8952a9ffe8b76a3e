/** Mistakes that a ledger or a relay could make, and the rule that each of them breaks. */
import type { Changes, Hold, LedgerState, TableChanges } from "../../../src/ledger/state.ts";
import type { Plant } from "./history.ts";

export const PLANTS: readonly { readonly mistake: string; readonly rule: string; readonly plant: Plant }[] = [
  {
    mistake: "whoever was fenced off holds on, for its epoch is not looked at",
    rule: "only a process whose epoch and lease run sets money aside",
    plant: { books: { clock: (clock, state) => ({ ...clock, epoch: state.nodes.get(clock.node)?.epoch ?? clock.epoch }) } },
  },
  {
    mistake: "a lease that is over is taken to run",
    rule: "only a process whose epoch and lease run sets money aside",
    plant: { books: { loaded: (state) => changed(state, "nodes", (node) => ({ ...node, leaseUntilMs: Number.MAX_SAFE_INTEGER })) } },
  },
  {
    mistake: "a peer whose lease runs is taken for dead",
    rule: "nobody ends the holds of a process whose lease runs",
    plant: {
      books: { loaded: (state, { node }) => changed(state, "nodes", (each) => (each.id === node ? each : { ...each, leaseUntilMs: 0 })) },
    },
  },
  {
    mistake: "a hold that has ended is found open",
    rule: "a hold that has ended stays as it is",
    plant: { books: { loaded: (state) => changed(state, "holds", reopened) } },
  },
  {
    mistake: "Idempotency-Keys are not kept",
    rule: "a client that asks again with its key is not charged again",
    plant: { books: { written: (changes) => ({ ...changes, idempotencyAdded: [] }) } },
  },
  {
    mistake: "an Idempotency-Key is free again after it was charged for",
    rule: "a client that asks again with its key is not charged again",
    plant: { books: { written: (changes) => ({ ...changes, idempotencyFreed: [...changes.idempotencyFreed, ...keysOf(changes)] }) } },
  },
  {
    mistake: "a reference is not looked up before it credits",
    rule: "one cause moves money once",
    plant: { books: { loaded: (state) => ({ ...state, transfers: new Map() }) } },
  },
  {
    mistake: "what a charge takes from a lot is not written",
    rule: "what is left in the lots is the balance",
    plant: { books: { written: (changes) => ({ ...changes, lots: { ...changes.lots, changed: [] } }) } },
  },
  {
    mistake: "checkpoints are not written",
    rule: "what a crash leaves is charged at its last checkpoint",
    plant: {
      books: { written: (changes) => ({ ...changes, holds: remade(changes.holds, (hold) => ({ ...hold, checkpointNanos: 0n })) }) },
    },
  },
  {
    mistake: "a crash charges all that was set aside",
    rule: "what a crash leaves is charged at its last checkpoint",
    plant: {
      books: {
        loaded: (state) => changed(state, "holds", (hold) => ({ ...hold, checkpointSeq: 1_000, checkpointNanos: hold.amountNanos })),
      },
    },
  },
  {
    mistake: "a transfer is not written",
    rule: "replaying the transfers gives each balance",
    plant: { books: { written: (changes) => ({ ...changes, transfers: changes.transfers.filter(({ code }) => code !== "usage_promo") }) } },
  },
  {
    mistake: "what was held is not given free when a hold ends",
    rule: "what is held is the sum of the open holds",
    plant: {
      books: {
        written: (changes) => ({
          ...changes,
          wallets: remade(changes.wallets, (after, before) => ({ ...after, heldNanos: before.heldNanos })),
        }),
      },
    },
  },
  {
    mistake: "a budget's window is not written",
    rule: "a budget counts each of its holds once",
    plant: { books: { written: (changes) => ({ ...changes, windows: { ...changes.windows, changed: [] } }) } },
  },
  {
    mistake: "caps of budgets are not looked at",
    rule: "a budget admits no more than its cap",
    plant: { books: { loaded: (state) => changed(state, "budgets", (budget) => ({ ...budget, capNanos: 10n ** 15n })) } },
  },
  {
    mistake: "a wallet is taken to have a floor far below nothing",
    rule: "no wallet is overdrawn",
    plant: { books: { loaded: (state) => changed(state, "wallets", (wallet) => ({ ...wallet, floorNanos: -1_000_000n })) } },
  },
  {
    mistake: "credit that has expired is used",
    rule: "a hold uses no credit that had expired before it",
    plant: { books: { loaded: (state) => changed(state, "lots", (lot) => ({ ...lot, expiresAtMs: null })) } },
  },
  {
    mistake: "what was paid is used before what was given",
    rule: "given credit is used before what was paid",
    plant: { books: { loaded: (state) => changed(state, "lots", (lot) => ({ ...lot, priority: 1_000 - lot.priority })) } },
  },
  {
    mistake: "a refund that has ended is found open",
    rule: "no decision is a fault",
    plant: { books: { loaded: (state) => changed(state, "refunds", (refund) => ({ ...refund, state: "reserved" as const })) } },
  },
  {
    mistake: "clients are answered before the books have",
    rule: "an end that was confirmed is in the books, exactly",
    plant: { relay: { answersEarly: true } },
  },
  {
    mistake: "what is not known is taken for done",
    rule: "an end that was confirmed is in the books, exactly",
    plant: { relay: { believes: true } },
  },
  {
    mistake: "the spool file is not written",
    rule: "no hold is open after everybody has come back",
    plant: { relay: { losesSpool: true } },
  },
  {
    mistake: "a hold whose answer was lost is forgotten",
    rule: "no hold is open after everybody has come back",
    plant: { relay: { forgetsOrphans: true } },
  },
];

type RowOf<K extends keyof LedgerState> = LedgerState[K] extends ReadonlyMap<string, infer T> ? T : never;

function changed<K extends keyof LedgerState>(state: LedgerState, table: K, change: (row: RowOf<K>) => RowOf<K>): LedgerState {
  const rows = [...state[table]].map(([id, row]) => [id, change(row as RowOf<K>)] as const);
  return { ...state, [table]: new Map(rows) };
}

function remade<T>(table: TableChanges<T>, remake: (after: Readonly<T>, before: Readonly<T>) => T): TableChanges<T> {
  return { ...table, changed: table.changed.map(({ before, after }) => ({ before, after: remake(after, before) })) };
}

function reopened(hold: Readonly<Hold>): Hold {
  const isOver = hold.state === "settled";
  return isOver ? { ...hold, state: "open", chargedNanos: null, basis: null, endReason: null, closedAtMs: null, amountNanos: 0n } : hold;
}

function keysOf({ holds }: Changes): Changes["idempotencyFreed"] {
  return holds.changed.flatMap(({ after: { id, state, accountId, idempotencyKey } }) =>
    state === "settled" && idempotencyKey !== null ? { accountId, key: idempotencyKey, holdId: id } : [],
  );
}
