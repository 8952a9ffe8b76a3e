/** Pages of sums are read in slices of time: together they are all sums, each once and in order, however dense or far apart. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { UsageQuestion, UsageSum } from "../../src/control/ports.ts";
import { CONTROL_QUERIES } from "../../src/store/queries/control.ts";
import { commitUnits } from "../../src/store/ledger/commit.ts";
import { SEAT } from "../ledger/stores.ts";
import { PLACES } from "./plans.ts";
import type { Place } from "./plans.ts";
import { row } from "./row.ts";

const DAY_MS = 86_400_000;
const FIRST = 20_000 * DAY_MS;
/** Days with requests, and how many models each has: gaps of every width, and days that fill a page alone. */
const MODELS_BY_DAY = new Map([0, 1, 2, 7, 8, 9, 30, 31, 100, 101, 260, 364].map((day, at) => [day, 1 + ((at * 5) % 9)]));

describe.each(Object.entries(PLACES))("%s", (_name, open) => {
  const meant: string[] = [];
  let place: Place;

  beforeAll(async () => {
    place = await open();
    const writes = [...MODELS_BY_DAY].flatMap(([day, models]) =>
      Array.from({ length: models }, (_, at) => {
        const [atMs, model] = [FIRST + day * DAY_MS, `m${at}`];
        meant.push(`${atMs} ${model}`);
        return { kind: "row", row: row(`req_${day}_${at}`, { at: atMs + at, model }) } as const;
      }),
    );
    expect(await place.run(() => commitUnits({ now: null }, SEAT, [{ operations: [], writes }]))).toEqual([{ ok: true, results: [] }]);
  });
  afterAll(() => place.close());

  test.each([1, 2, 3, 5, 8, 13, 1_000])("of %i", async (limit) => {
    const question = { period: "day", by: "model", accountId: undefined, fromMs: FIRST, toMs: FIRST + 365 * DAY_MS, limit } as const;
    const found: string[] = [];
    for (let after: UsageQuestion["after"] = null; ;) {
      const wish: UsageQuestion = { ...question, after };
      const page: readonly UsageSum[] = await place.run(() => CONTROL_QUERIES.usage(wish));
      found.push(...page.map((sum) => `${sum.atMs} ${sum.group}`));
      const last = page.at(-1);
      if (last === undefined || page.length < limit) break;
      after = { atMs: last.atMs, group: last.group };
    }
    expect(found).toEqual(meant);
  });
});
