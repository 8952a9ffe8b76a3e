/** What can be asked of a store by name: reads that take no lock, run beside the writing. */
import type { Account } from "../../admission/accounts.ts";
import type { KeyRecord } from "../../admission/keys.ts";
import type { RequestFile } from "../../insight/request-file.ts";
import { CONTROL_QUERIES } from "./control.ts";
import { accountsWithExpired, readReceipt } from "../ledger/read.ts";
import { auditLedger } from "../ledger/audit.ts";
import type { Breach } from "../ledger/audit.ts";
import { ACCOUNTS, KEYS } from "../tables/record-shapes.ts";
import { readRevision } from "../tables/revisions.ts";
import { ATTEMPTS, REQUESTS } from "../tables/request-rows.ts";
import { inEach } from "../sql/dialect.ts";
import { read } from "../sql/sql.ts";
import type { Sql } from "../sql/sql.ts";
import { objectOf } from "../sql/shape.ts";

/** Accounts and keys that were changed after a version, and the version they are of. */
export interface ControlRecords {
  readonly version: number;
  readonly accounts: readonly Account[];
  readonly keys: readonly KeyRecord[];
}

export interface DeadNode {
  readonly node: string;
  readonly leaseUntilMs: number;
}

const DEAD_NODES = inEach(
  ({ now }) =>
    `SELECT n.id, n.lease_until FROM nodes n WHERE n.id <> ? AND n.lease_until < ${now} AND EXISTS (SELECT 1 FROM holds h WHERE h.node = n.id AND h.state = 'open')`,
);

/** Queries by name. Arguments and answers are plain data, because they may cross to another thread. */
const QUERIES = {
  /** Everything since version -1 is everything. */
  records: function* ({ since }: { since: number }): Sql<ControlRecords> {
    // The version first: a change in between is then read twice, never missed.
    const [row] = yield* read("SELECT version FROM control_version", []);
    const version = Number(row?.["version"]);
    if (version === since) return { version, accounts: [], keys: [] };
    const accounts = yield* read(`${ACCOUNTS.select} WHERE version > ?`, [since]);
    const keys = yield* read(`${KEYS.select} WHERE version > ?`, [since]);
    return {
      version,
      accounts: accounts.map((account) => objectOf(ACCOUNTS, account)),
      keys: keys.map((key) => objectOf(KEYS, key)),
    };
  },
  /** Null when there is no such request, or it is another account's. */
  request: function* ({ id, accountId }: { id: string; accountId: string }): Sql<RequestFile | null> {
    const [row] = yield* read(`${REQUESTS.select} WHERE id = ? AND account_id = ?`, [id, accountId]);
    const receipt = yield* readReceipt(id, accountId);
    if (row === undefined && receipt === null) return null;
    const attempts = row === undefined ? [] : yield* read(`${ATTEMPTS.select} WHERE request_id = ? ORDER BY n`, [id]);
    const priceId = receipt?.hold.priceId ?? null;
    const [price] = priceId === null ? [] : yield* read("SELECT version FROM price_versions WHERE id = ?", [priceId]);
    return {
      price: (price?.["version"] as string | undefined) ?? null,
      request: row === undefined ? null : objectOf(REQUESTS, row),
      attempts: attempts.map((attempt) => objectOf(ATTEMPTS, attempt)),
      receipt,
    };
  },
  expiredAccounts: ({ nowMs, limit }: { nowMs: number; limit: number }): Sql<string[]> => accountsWithExpired(nowMs, limit),
  /** Other processes than `own` whose lease is over and that left holds open, and until when it ran. */
  deadNodes: function* ({ own }: { own: string }): Sql<DeadNode[]> {
    const rows = yield* read(DEAD_NODES, [own]);
    return rows.map((row) => ({ node: row["id"] as string, leaseUntilMs: Number(row["lease_until"]) }));
  },
  /** The newest number of a configuration's content, or null. */
  revision: ({ contentHash }: { contentHash: string }): Sql<number | null> => readRevision(contentHash),
  ...CONTROL_QUERIES,
  audit: (): Sql<Breach[]> => auditLedger(),
};

type Queries = typeof QUERIES;

export type QueryName = keyof Queries;

export type QueryArgs<N extends QueryName> = Queries[N] extends (args: infer A) => Sql<unknown> ? A : never;

export type QueryAnswer<N extends QueryName> = ReturnType<Queries[N]> extends Sql<infer T> ? T : never;

/** The named query with its arguments, ready to be run. */
export function queryOf<N extends QueryName>(name: N, args: QueryArgs<N>): Sql<QueryAnswer<N>> {
  return (QUERIES[name] as (args: unknown) => Sql<QueryAnswer<N>>)(args);
}
