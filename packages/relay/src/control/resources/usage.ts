/** Sums of requests by hour or day, and by what they were for. */
import { money, moneyOrNull } from "@millrace/wire/money-json";
import { isoOf } from "../../basics/iso-time.ts";
import { DAY_MS, HOUR_MS } from "@millrace/wire/duration";
import * as z from "zod";
import { shownTokens } from "../../insight/request-views.ts";
import { accountOfList } from "../access/caller.ts";
import type { Caller } from "../access/caller.ts";
import { pageOf, pageQuery, sliceOf, USAGE_PLACE } from "../http/page.ts";
import type { Page } from "../http/page.ts";
import { USAGE_GROUPS } from "../ports.ts";
import type { ControlStore, UsageSum } from "../ports.ts";
import { Refusal } from "../http/refusal.ts";
import { instant, moneyOrNullShape, moneyShape, time, tokensShape } from "../http/shapes.ts";

/** How long each step is, how far a question reaches without a beginning, and how far at most. */
const STEPS = {
  hour: { ms: HOUR_MS, usualMs: DAY_MS, mostMs: 31 * DAY_MS },
  day: { ms: DAY_MS, usualMs: 30 * DAY_MS, mostMs: 400 * DAY_MS },
} as const;

export const UsageQuery = z.strictObject({
  ...pageQuery,
  by: z.enum(USAGE_GROUPS).default("model"),
  every: z.enum(["hour", "day"]).default("day"),
  from: instant.optional(),
  to: instant.optional(),
  account_id: z.string().min(1).max(100).optional(),
});

export const UsageShape = z.strictObject({
  at: time,
  by: z.enum(USAGE_GROUPS),
  /** Id or name; null where no upstream was asked. */
  group: z.string().nullable(),
  requests: z.number().int(),
  errors: z.number().int(),
  ...tokensShape(z.number().int()),
  ...moneyShape("charge"),
  ...moneyOrNullShape("cost"),
  ...moneyShape("written_off"),
});

export class Usage {
  readonly #store: Pick<ControlStore, "usage">;

  constructor(store: Pick<ControlStore, "usage">) {
    this.#store = store;
  }

  /** From the beginning of the hour or day that `from` is in, until `to`. */
  async sums(caller: Caller, wish: z.output<typeof UsageQuery>): Promise<Page<z.output<typeof UsageShape>>> {
    const { by, every } = wish;
    const { ms, usualMs, mostMs } = STEPS[every];
    const toMs = wish.to ?? Date.now();
    const from = wish.from ?? toMs - usualMs;
    if (from >= toMs || toMs - from > mostMs)
      throw new Refusal(
        "invalid_request",
        `Sums by the ${every} may cover at most ${mostMs / DAY_MS} days, and must begin before they end.`,
      );
    const accountId = accountOfList(caller, wish.account_id);
    if (accountId === null) return { data: [], next: null };
    const rows = await this.#store.usage({ period: every, by, fromMs: from - (from % ms), toMs, accountId, ...sliceOf(wish, USAGE_PLACE) });
    return pageOf(
      rows,
      wish,
      USAGE_PLACE,
      (row) => row,
      (row) => shownSum(caller, by, row),
    );
  }
}

function shownSum(caller: Caller, by: z.output<typeof UsageQuery>["by"], row: UsageSum): z.output<typeof UsageShape> {
  return {
    at: isoOf(row.atMs),
    by,
    group: row.group === "" ? null : row.group,
    requests: row.requests,
    errors: row.errors,
    ...shownTokens(row),
    ...money("charge", row.chargeNanos),
    ...moneyOrNull("cost", caller.role === "member" ? null : row.costNanos),
    ...money("written_off", row.writtenOffNanos),
  };
}
