/** The facts of one request that was let in. They do not change while it is answered. */
import type { Account } from "../admission/accounts.ts";
import type { KeyRecord } from "../admission/keys.ts";
import type { Model } from "../config/config.ts";
import type { RequestRow } from "../insight/row.ts";
import type { ClientRequest } from "../provider/provider.ts";
import type { Snapshot } from "./snapshot.ts";

/** Times are of the monotonic clock in milliseconds; `at` is the wall clock's, in Unix milliseconds. */
export interface Exchange {
  readonly id: string;
  readonly at: number;
  readonly receivedAt: number;
  readonly bodyReadAt: number;
  /** The configuration that decides everything about this request. */
  readonly snapshot: Snapshot;
  readonly key: KeyRecord;
  readonly account: Account;
  readonly request: ClientRequest;
  readonly model: Model;
  /** Bytes of the body's strings, for the estimate of its tokens. */
  readonly textBytes: number;
  /** Bytes of base64 media in the body. */
  readonly mediaBytes: number;
  /** The client's own name for this request, or null. */
  readonly idempotencyKey: string | null;
  /** Called when the request is refused before any upstream was asked, just before the refusal leaves. */
  readonly onUnused?: () => void;
  /** Called with the row before it is kept. */
  readonly onRow?: (row: RequestRow) => void;
}
