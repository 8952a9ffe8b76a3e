/** What the control plane needs from a store. The adapter is in `store/control-store.ts`. */
import type { Account } from "../admission/accounts.ts";
import type { KeyRecord } from "../admission/keys.ts";
import type { RequestFile, StoredRequest } from "../insight/request-file.ts";
import type { LedgerPort } from "../ledger/balance.ts";
import type { Operation, Result } from "../ledger/operation.ts";
import type { UnitOutcome } from "../ledger/unit.ts";
import type { Basis, Lot, Transfer, TransferCode } from "../ledger/state.ts";
import type { AuditEntry, AuditNote } from "./audit-entry.ts";
import type { Member } from "./access/member.ts";

/**
 * A change to be stored; an audit note gets its place in the chain in the same transaction. `before` is the state on which the
 * change was decided, null for a new thing. If another relay has changed that state since, the store takes none of the writes.
 */
export type ControlWrite =
  | { readonly kind: "account"; readonly account: Account; readonly before: Account | null }
  | { readonly kind: "key"; readonly key: KeyRecord; readonly before: KeyRecord | null }
  | { readonly kind: "member"; readonly member: Member; readonly before: Member | null }
  | { readonly kind: "audit"; readonly note: AuditNote };

/** The ledger. It stores the writes in the transaction of the operation, unless it refuses the operation. */
export interface ControlLedger extends LedgerPort {
  ask(operation: Operation, writes?: readonly ControlWrite[]): Promise<Result>;
  /** Several in one transaction; the writes are stored unless one of the operations is refused. */
  askAll(operations: readonly Operation[], writes: readonly ControlWrite[]): Promise<UnitOutcome>;
}

/** A place in a list that is ordered by time. */
export interface Moment {
  readonly atMs: number;
  readonly id: string;
}

/** How many rows, and after which place; without a place, from the beginning. */
export interface Slice<P> {
  readonly after: P | null;
  readonly limit: number;
}

/** The account, and the slice of its transfers. */
export interface OfAccount<P> extends Slice<P> {
  readonly accountId: string;
}

/** Omitted fields match everything. */
export interface RequestFilter {
  readonly accountId?: string | undefined;
  readonly keyId?: string | undefined;
  readonly model?: string | undefined;
  readonly status?: number | undefined;
  readonly endReason?: string | undefined;
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
}

/** A request that is over, with its attempts, transfers and price. */
export interface RequestDetail extends RequestFile {
  readonly request: StoredRequest;
}

export const USAGE_GROUPS = ["account", "key", "model", "upstream"] as const;

type UsageGroup = (typeof USAGE_GROUPS)[number];

/** The place at which a page of sums ended. */
export interface UsagePlace {
  readonly atMs: number;
  readonly group: string;
}

export interface UsageQuestion extends Slice<UsagePlace> {
  readonly period: "hour" | "day";
  readonly by: UsageGroup;
  readonly fromMs: number;
  readonly toMs: number;
  readonly accountId?: string | undefined;
}

export interface UsageSum {
  readonly atMs: number;
  readonly group: string;
  readonly requests: number;
  readonly errors: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly chargeNanos: bigint;
  readonly costNanos: bigint;
  /** The part of the requests' cost that nobody paid. */
  readonly writtenOffNanos: bigint;
}

/** A request that cost more than its account could pay. Includes corrections. */
export interface WriteOff {
  readonly requestId: string;
  /** When its hold ended. */
  readonly atMs: number;
  readonly accountId: string;
  readonly keyId: string;
  readonly model: string;
  readonly basis: Basis;
  readonly chargedNanos: bigint;
  readonly writtenOffNanos: bigint;
}

/** Omitted fields match everything. */
export interface WriteOffFilter {
  readonly accountId?: string | undefined;
  readonly fromMs?: number | undefined;
  readonly toMs?: number | undefined;
}

/** One UTC day of one upstream, from the model that follows a name. */
export interface UpstreamDay {
  readonly upstream: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly afterModel: string | null;
  readonly limit: number;
}

/** What the attempts at one upstream's model used, failed ones too. */
export interface UpstreamSum {
  readonly upstreamModel: string;
  readonly attempts: number;
  /** Attempts that the upstream may have worked on although it reported no usage. */
  readonly withoutUsage: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  /** Null if the cost of some attempt is not known by itself. */
  readonly costNanos: bigint | null;
}

export interface AccountStatement {
  readonly openingNanos: bigint;
  readonly byCode: ReadonlyMap<TransferCode, bigint>;
  readonly closingNanos: bigint;
  /** The unpaid part of requests that ended in this time. It is not part of the balance. */
  readonly writtenOffNanos: bigint;
}

/** Another account has the name, or the account itself is closed. */
export type AccountClash = "name" | "closed";

/** Lists have one row more than a page shows, so that its reader knows whether more follow. */
export interface ControlStore {
  /** All of the writes are stored, or none. @returns null, or the reason why not; `isOwn`: these writes can never be stored. */
  write(writes: readonly ControlWrite[]): Promise<{ readonly reason: string; readonly isOwn: boolean } | null>;
  /** Why the database does not take an account of this id and name, or null: it is asked when it did not. */
  accountClash(account: Pick<Account, "id" | "name">): Promise<AccountClash | null>;
  /** Resolves when accounts and keys that other relays changed before the call are known here. */
  fresh(): Promise<void>;
  memberById(id: string): Promise<Member | null>;
  memberBySha256(sha256: string): Promise<Member | null>;
  /** Oldest first. */
  members(slice: Slice<Moment>): Promise<readonly Member[]>;
  /** Newest first, like the lists that follow. */
  auditEntries(slice: Slice<number>): Promise<readonly AuditEntry[]>;
  transfers(of: OfAccount<number>): Promise<readonly Transfer[]>;
  lots(of: OfAccount<Moment>): Promise<readonly Lot[]>;
  requests(filter: RequestFilter & Slice<Moment>): Promise<readonly StoredRequest[]>;
  request(id: string): Promise<RequestDetail | null>;
  writeOffs(filter: WriteOffFilter & Slice<Moment>): Promise<readonly WriteOff[]>;
  statement(accountId: string, fromMs: number, toMs: number): Promise<AccountStatement>;
  /** By time, then by group. */
  usage(question: UsageQuestion): Promise<readonly UsageSum[]>;
  /** By model. */
  upstreamDay(day: UpstreamDay): Promise<readonly UpstreamSum[]>;
}
