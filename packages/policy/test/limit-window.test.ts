import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LimitSlots } from "../src/limit-slots.ts";
import { BUCKET_MS, LimitWindow, WINDOW_MS } from "../src/limit-window.ts";

describe("a window", () => {
  test("holds no more than 121 buckets under any flood", () => {
    const window = new LimitWindow();
    let most = 0;
    for (let nowMs = 0; nowMs < 5 * WINDOW_MS; nowMs += 3) {
      window.used(nowMs);
      window.add(1, nowMs);
      most = Math.max(most, window.size);
    }
    expect(most).toBeLessThanOrEqual(WINDOW_MS / BUCKET_MS + 1);
  });

  test("that time runs back in still counts everything", () => {
    const window = new LimitWindow();
    window.add(1, 10_000);
    const bucket = window.add(1, 2_000);
    expect(window.used(2_000)).toBe(2);
    window.giveBack(1, bucket);
    expect(window.used(10_000)).toBe(1);
  });
});

describe("slots", () => {
  test("are counted right whatever order leases are taken, renewed and given in", () => {
    const step = fc.record({
      id: fc.nat(5),
      kind: fc.constantFrom("take", "renew", "give"),
      pause: fc.nat(40),
      forMs: fc.integer({ min: 1, max: 100 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const slots = new LimitSlots();
        const model = new Map<number, number>();
        let nowMs = 0;
        for (const { id, kind, pause, forMs } of steps) {
          nowMs += pause;
          for (const [each, expiresAtMs] of model) if (expiresAtMs <= nowMs) model.delete(each);
          expect(slots.inUse(nowMs)).toBe(model.size);
          if (kind === "give") slots.give(String(id));
          if (kind === "take") slots.take(String(id), nowMs + forMs);
          if (kind === "renew") slots.renew(String(id), nowMs + forMs);
          if (kind === "give") model.delete(id);
          if (kind === "take" || model.has(id)) model.set(id, nowMs + forMs);
          expect(slots.inUse(nowMs)).toBe(model.size);
        }
      }),
    );
  });
});
