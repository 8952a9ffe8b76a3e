/** Charges that the account could not pay in full. The write-off is the part beyond its balance; nobody pays it. */
import { money } from "@millrace/wire/money-json";
import { isoOf } from "../../basics/iso-time.ts";
import * as z from "zod";
import { accountOfList } from "../access/caller.ts";
import type { Caller } from "../access/caller.ts";
import { MOMENT, pageOf, pageQuery, sliceOf } from "../http/page.ts";
import type { Page } from "../http/page.ts";
import type { ControlStore, WriteOff } from "../ports.ts";
import { instant, moneyShape, time } from "../http/shapes.ts";

export const WriteOffsQuery = z.strictObject({
  ...pageQuery,
  account_id: z.string().min(1).max(256).optional(),
  from: instant.optional(),
  to: instant.optional(),
});

export const WriteOffShape = z.strictObject({
  request_id: z.string(),
  /** When its hold ended. */
  at: time,
  account_id: z.string(),
  key_id: z.string(),
  model: z.string(),
  basis: z.string(),
  ...moneyShape("charged"),
  ...moneyShape("written_off"),
});

export class WriteOffs {
  readonly #store: Pick<ControlStore, "writeOffs">;

  constructor(store: Pick<ControlStore, "writeOffs">) {
    this.#store = store;
  }

  async list(caller: Caller, wish: z.output<typeof WriteOffsQuery>): Promise<Page<z.output<typeof WriteOffShape>>> {
    const accountId = accountOfList(caller, wish.account_id);
    if (accountId === null) return { data: [], next: null };
    const rows = await this.#store.writeOffs({ accountId, fromMs: wish.from, toMs: wish.to, ...sliceOf(wish, MOMENT) });
    return pageOf(rows, wish, MOMENT, ({ atMs, requestId: id }) => ({ atMs, id }), shownWriteOff);
  }
}

function shownWriteOff(row: WriteOff): z.output<typeof WriteOffShape> {
  return {
    request_id: row.requestId,
    at: isoOf(row.atMs),
    account_id: row.accountId,
    key_id: row.keyId,
    model: row.model,
    basis: row.basis,
    ...money("charged", row.chargedNanos),
    ...money("written_off", row.writtenOffNanos),
  };
}
