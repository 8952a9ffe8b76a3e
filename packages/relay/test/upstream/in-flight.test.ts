import fc from "fast-check";
import { expect, test } from "vitest";
import { InFlight } from "../../src/upstream/in-flight.ts";

const BOUND = { inFlightMax: 12, reservedShare: 0.25 };
const caller = fc.record({ accountId: fc.constantFrom("a", "b", "c"), keyId: fc.constantFrom("1", "2") });
const steps = fc.array(fc.record({ caller, ends: fc.nat(20), isEnding: fc.boolean() }), { maxLength: 200 });

test("calls are counted exactly whatever order they begin and end in, and nothing is remembered of who has none", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const inFlight = new InFlight({ accounts: 3, keysOf: () => 2 });
      const running: { readonly accountId: string; readonly end: () => void }[] = [];
      for (const step of all) {
        if (step.isEnding) {
          const [ended] = running.splice(step.ends % Math.max(1, running.length), 1);
          ended?.end();
          ended?.end();
        } else if (inFlight.refusal(step.caller, BOUND) === null) {
          running.push({ accountId: step.caller.accountId, end: inFlight.add(step.caller) });
        }
        expect(inFlight.count).toBe(running.length);
        expect(inFlight.count).toBeLessThanOrEqual(BOUND.inFlightMax);
        expect(inFlight.accounts).toBe(new Set(running.map((call) => call.accountId)).size);
      }
      for (const call of running) call.end();
      expect([inFlight.count, inFlight.accounts]).toEqual([0, 0]);
    }),
  );
});

test("a bound that is lowered while calls run refuses until they are fewer, and ends none", () => {
  const inFlight = new InFlight({ accounts: 1, keysOf: () => 1 });
  const only = { accountId: "a", keyId: "1" };
  const ends = Array.from({ length: 12 }, () => inFlight.add(only));
  const lower = { inFlightMax: 4, reservedShare: 0.25 };
  expect(inFlight.refusal(only, lower)).toEqual({ reason: "full" });
  for (const end of ends.slice(0, 9)) end();
  expect(inFlight.refusal(only, lower)).toBeNull();
});
