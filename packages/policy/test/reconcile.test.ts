/** What agrees, what differs, and by how much, in integers. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { reconcile } from "../src/reconcile.ts";
import type { RecordedLine, Reconciliation } from "../src/reconcile.ts";
import { TOKEN_COUNTS } from "../src/usage-export.ts";
import type { ExportLine } from "../src/usage-export.ts";

const HALF_PERCENT = 5_000n;

function line(day: string, model: string, input: bigint, output: bigint, cost = 0n): ExportLine & RecordedLine {
  const tokens = { input, cachedInput: 0n, cacheWrite: 0n, output };
  return { day, model, tokens, costAtto: cost * 1_000_000_000n, costNanos: cost, withoutUsage: 0 };
}

function compared(theirs: readonly ExportLine[], ours: readonly RecordedLine[], ppm = HALF_PERCENT, hasCost = false): Reconciliation {
  return reconcile({ lines: theirs, counts: TOKEN_COUNTS, hasCost }, ours, ppm);
}

const verdicts = ({ lines }: Reconciliation): string[] => lines.map(({ day, model, verdict }) => `${day} ${model} ${verdict}`);

test("a difference of exactly the tolerance agrees, one token more does not, in both directions", () => {
  const theirs = [line("2026-11-01", "m", 1_000_000n, 1_000_000n)];
  const against = (input: bigint): Reconciliation => compared(theirs, [line("2026-11-01", "m", input, 1_000_000n)]);
  for (const input of [995_000n, 1_000_000n, 1_005_000n]) expect(against(input).agrees).toBe(true);
  for (const input of [994_999n, 1_005_001n]) expect(verdicts(against(input))).toEqual(["2026-11-01 m differs"]);
  expect(against(994_000n).lines[0]?.compared[0]).toEqual({
    what: "input",
    theirs: 1_000_000n,
    ours: 994_000n,
    difference: -6_000n,
    ppm: -6_000n,
    agrees: false,
  });
});

test("a tolerance of nothing asks for every token", () => {
  const theirs = [line("2026-11-01", "m", 10n, 10n)];
  expect(compared(theirs, [line("2026-11-01", "m", 10n, 10n)], 0n).agrees).toBe(true);
  expect(compared(theirs, [line("2026-11-01", "m", 10n, 11n)], 0n).agrees).toBe(false);
});

test("what only one side has is named as that side's, and nothing on both sides agrees", () => {
  const theirs = [line("2026-11-01", "a", 1n, 1n), line("2026-11-01", "zero", 0n, 0n), line("2026-11-02", "both", 5n, 5n)];
  const ours = [line("2026-11-01", "b", 1n, 1n), line("2026-11-02", "both", 5n, 9n), line("2026-11-02", "nothing", 0n, 0n)];
  const result = compared(theirs, ours);
  expect(verdicts(result)).toEqual([
    "2026-11-01 a only_theirs",
    "2026-11-01 b only_ours",
    "2026-11-01 zero agrees",
    "2026-11-02 both differs",
    "2026-11-02 nothing agrees",
  ]);
  expect(result.agrees).toBe(false);
  expect(result.lines[1]?.compared[0]?.ppm).toBeNull();
  expect(result.totals.compared.map(({ theirs: told, ours: recorded }) => [told, recorded])).toEqual([
    [6n, 6n],
    [0n, 0n],
    [0n, 0n],
    [6n, 10n],
  ]);
});

test("totals that agree do not hide a line that does not", () => {
  const theirs = [line("2026-11-01", "m", 100n, 0n), line("2026-11-02", "m", 100n, 0n)];
  const ours = [line("2026-11-01", "m", 90n, 0n), line("2026-11-02", "m", 110n, 0n)];
  const result = compared(theirs, ours);
  expect(result.totals.verdict).toBe("agrees");
  expect(result.agrees).toBe(false);
});

test("a number that the file does not tell is not held against it", () => {
  const theirs = [line("2026-11-01", "m", 100n, 0n)];
  const result = reconcile({ lines: theirs, counts: ["input"], hasCost: false }, [line("2026-11-01", "m", 100n, 7n)], 0n);
  expect(result.lines[0]?.compared.map(({ what }) => what)).toEqual(["input"]);
  expect(result.agrees).toBe(true);
});

test("cost is compared where ours is known, and counted where it is not", () => {
  const theirs = [line("2026-11-01", "m", 1n, 1n, 1_000n), line("2026-11-02", "m", 1n, 1n, 1_000n), line("2026-11-03", "m", 0n, 0n, 1n)];
  const unknown: RecordedLine = { ...line("2026-11-02", "m", 1n, 1n), costNanos: null };
  const result = compared(theirs, [line("2026-11-01", "m", 1n, 1n, 1_006n), unknown], HALF_PERCENT, true);
  expect(verdicts(result)).toEqual(["2026-11-01 m differs", "2026-11-02 m agrees", "2026-11-03 m only_theirs"]);
  expect(result.linesWithoutCost).toBe(1);
  expect(result.totals.compared.at(-1)).toMatchObject({ what: "cost", theirs: 1_001_000_000_000n, ours: 1_006_000_000_000n });
});

test("attempts without usage are counted, in the line and in all", () => {
  const ours = [
    { ...line("2026-11-01", "m", 1n, 1n), withoutUsage: 2 },
    { ...line("2026-11-01", "n", 0n, 0n), withoutUsage: 1 },
  ];
  const result = compared([line("2026-11-01", "m", 1n, 1n)], ours);
  expect(result.lines.map(({ withoutUsage }) => withoutUsage)).toEqual([2, 1]);
  expect(result.totals.withoutUsage).toBe(3);
  expect(result.agrees).toBe(true);
});

test("the same on both sides always agrees, whatever its order and however it is split", () => {
  const entry = fc.record({
    day: fc.integer({ min: 10, max: 14 }),
    model: fc.constantFrom("a", "b"),
    input: fc.bigInt({ min: 0n, max: 10n ** 12n }),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
      const lines = entries.map(({ day, model, input }) => line(`2026-11-${day}`, model, input, input * 2n, input));
      const halves = lines.flatMap((one) => [
        { ...one, tokens: { ...one.tokens, input: one.tokens.input / 2n } },
        { ...one, tokens: { ...one.tokens, input: one.tokens.input - one.tokens.input / 2n, output: 0n }, costAtto: 0n },
      ]);
      const result = compared(halves.toReversed(), lines, 0n, true);
      expect(result.agrees).toBe(true);
      expect(result.totals.compared.every(({ difference }) => difference === 0n)).toBe(true);
    }),
  );
});
