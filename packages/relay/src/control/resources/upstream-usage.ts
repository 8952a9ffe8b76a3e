/** What the attempts at one upstream used, by UTC day and upstream model, to compare with what its provider bills. */
import { moneyOrNull } from "@millrace/wire/money-json";
import { DAY_MS } from "@millrace/wire/duration";
import { dayOf } from "@millrace/policy/usage-day";
import * as z from "zod";
import { shownTokens } from "../../insight/request-views.ts";
import { pageOf, pageQuery, sliceOf, USAGE_PLACE } from "../http/page.ts";
import type { Page } from "../http/page.ts";
import type { ControlStore, UpstreamSum } from "../ports.ts";
import { Refusal } from "../http/refusal.ts";
import { instant, moneyOrNullShape, tokensShape } from "../http/shapes.ts";

const USUAL_DAYS = 30;
const DAYS_MAX = 100;

export const UpstreamUsageQuery = z.strictObject({
  ...pageQuery,
  upstream: z.string().min(1).max(256),
  from: instant.optional(),
  to: instant.optional(),
});

export const UpstreamUsageShape = z.strictObject({
  day: z.iso.date(),
  upstream: z.string(),
  upstream_model: z.string(),
  attempts: z.number().int(),
  /** Attempts that the upstream may bill although it reported no usage. */
  without_usage: z.number().int(),
  ...tokensShape(z.number().int()),
  ...moneyOrNullShape("cost"),
});

interface DaySum extends UpstreamSum {
  readonly dayMs: number;
}

export class UpstreamUsage {
  readonly #store: Pick<ControlStore, "upstreamDay">;

  constructor(store: Pick<ControlStore, "upstreamDay">) {
    this.#store = store;
  }

  /** From the beginning of the day that `from` is in, until `to`. */
  async sums(wish: z.output<typeof UpstreamUsageQuery>): Promise<Page<z.output<typeof UpstreamUsageShape>>> {
    const toMs = wish.to ?? Date.now();
    const from = wish.from ?? toMs - USUAL_DAYS * DAY_MS;
    if (from >= toMs || toMs - from > DAYS_MAX * DAY_MS)
      throw new Refusal("invalid_request", `These sums may cover at most ${DAYS_MAX} days, and must begin before they end.`);
    return pageOf(
      await this.#slice(wish, startOfDay(from), toMs),
      wish,
      USAGE_PLACE,
      ({ dayMs, upstreamModel }) => ({ atMs: dayMs, group: upstreamModel }),
      (row) => shownSum(wish.upstream, row),
    );
  }

  /** Runs one query for each day. The store computes these sums from rows, and no query may delay the others for long. */
  async #slice(wish: z.output<typeof UpstreamUsageQuery>, firstMs: number, toMs: number): Promise<DaySum[]> {
    const { after, limit } = sliceOf(wish, USAGE_PLACE);
    const rows: DaySum[] = [];
    const startMs = Math.max(firstMs, after === null ? firstMs : startOfDay(after.atMs));
    for (let dayMs = startMs; dayMs < toMs && rows.length < limit; dayMs += DAY_MS) {
      const sums = await this.#store.upstreamDay({
        upstream: wish.upstream,
        fromMs: dayMs,
        toMs: Math.min(dayMs + DAY_MS, toMs),
        afterModel: after?.atMs === dayMs ? after.group : null,
        limit: limit - rows.length,
      });
      rows.push(...sums.map((sum) => ({ ...sum, dayMs })));
    }
    return rows;
  }
}

function startOfDay(ms: number): number {
  return ms - (ms % DAY_MS);
}

function shownSum(upstream: string, row: DaySum): z.output<typeof UpstreamUsageShape> {
  return {
    day: dayOf(row.dayMs),
    upstream,
    upstream_model: row.upstreamModel,
    attempts: row.attempts,
    without_usage: row.withoutUsage,
    ...shownTokens(row),
    ...moneyOrNull("cost", row.costNanos),
  };
}
