/** What relays, clients and the oracle mean by a request. */
import type { Operation } from "../../../src/ledger/operation.ts";

/** What a client wants: it asks again under the same key until it has an answer. */
export interface Order {
  readonly accountId: string;
  readonly key: string | null;
  readonly isStream: boolean;
}

/** What a relay runs for an order: an upstream works on it. */
export interface Run {
  readonly id: string;
  readonly order: Order;
  heldNanos: bigint;
  deliveredNanos: bigint;
  seq: number;
}

/** How a request's hold is ended by its own relay. */
export type Ending = Extract<Operation, { kind: "settle" | "void" }>;

export function costOf(ending: Ending): bigint {
  return ending.kind === "settle" ? ending.costNanos : 0n;
}

export function voidOf(id: string): Ending {
  return { kind: "void", id, endReason: "store_unavailable" };
}
