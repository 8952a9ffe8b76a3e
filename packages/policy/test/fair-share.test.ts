import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { slotRefusal, RESERVED_SHARE } from "../src/fair-share.ts";
import type { SlotRefusal } from "../src/fair-share.ts";

/** Slots counted the slow way, by going through all that are taken. */
class Slots {
  readonly held: { readonly account: number; readonly key: number }[] = [];
  readonly bound: number;
  readonly #accounts: number;
  readonly #keys: number;
  readonly #reservedShare: number;

  constructor(bound: number, accounts: number, keys: number, reservedShare = RESERVED_SHARE) {
    this.bound = bound;
    this.#accounts = accounts;
    this.#keys = keys;
    this.#reservedShare = reservedShare;
  }

  ask(account: number, key: number): SlotRefusal | null {
    const ours = this.held.filter((slot) => slot.account === account);
    const refusal = slotRefusal({
      bound: this.bound,
      taken: this.held.length,
      reservedShare: this.#reservedShare,
      account: { held: ours.length, active: this.active(account), known: this.#accounts },
      key: { held: ours.filter((slot) => slot.key === key).length, active: this.activeKeys(account, key), known: this.#keys },
    });
    if (refusal === null) this.held.push({ account, key });
    return refusal;
  }

  active(account: number): number {
    return new Set([...this.held.map((slot) => slot.account), account]).size;
  }

  activeKeys(account: number, key: number): number {
    return new Set([...this.held.filter((slot) => slot.account === account).map((slot) => slot.key), key]).size;
  }

  count(account: number): number {
    return this.held.filter((slot) => slot.account === account).length;
  }
}

/** Asks until refused. @returns how many got in. */
function flood(slots: Slots, account: number, keys: readonly number[]): number {
  const before = slots.held.length;
  for (const key of keys) while (slots.ask(account, key) === null);
  return slots.held.length - before;
}

function admitted(slots: Slots, account: number, key: number, times: number): number {
  return Array.from({ length: times }, () => slots.ask(account, key)).filter((refusal) => refusal === null).length;
}

describe("fair share", () => {
  test("the only key of the only account has the whole bound", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), (bound) => {
        const slots = new Slots(bound, 1, 1);
        expect(flood(slots, 0, [0])).toBe(bound);
        expect(slots.ask(0, 0)).toEqual({ reason: "full" });
      }),
    );
  });

  test("an account that takes all it can gets three quarters, and the refusal says so", () => {
    const slots = new Slots(200, 2, 1);
    expect(flood(slots, 0, [0])).toBe(150);
    expect(slots.ask(0, 0)).toEqual({ reason: "account", bound: 200, allotment: 150 });
  });

  test.each([80, 100, 200, 5_000])("of %d slots, 20 of 20 calls of another account get in while one takes all it can", (bound) => {
    for (const keys of [1, 2, 40]) {
      const slots = new Slots(bound, 3, keys);
      flood(
        slots,
        0,
        Array.from({ length: keys }, (_, key) => key),
      );
      expect(admitted(slots, 1, 0, 20)).toBe(20);
    }
  });

  test("with one key taking all it can, another key of its account gets in, whether other accounts are known or not", () => {
    for (const accounts of [1, 2]) {
      const slots = new Slots(200, accounts, 2);
      flood(slots, 0, [0]);
      expect(slots.ask(0, 0)).toMatchObject({ reason: "key" });
      expect(admitted(slots, 0, 1, 20)).toBe(20);
    }
  });

  test("a larger or smaller part can be kept, and none", () => {
    expect([0, 0.1, 0.5, 0.9].map((share) => flood(new Slots(100, 2, 1, share), 0, [0]))).toEqual([100, 90, 50, 50]);
  });

  test("accounts that all want everything come to equal shares as calls end", () => {
    const slots = new Slots(120, 4, 1);
    flood(slots, 0, [0]);
    for (let round = 0; round < 2_000; round++) {
      slots.held.splice((round * 7919) % slots.held.length, 1);
      for (const account of [0, 1, 2, 3]) slots.ask(account, 0);
    }
    const counts = [0, 1, 2, 3].map((account) => slots.count(account));
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });

  const shape = fc.record({
    bound: fc.integer({ min: 1, max: 60 }),
    accounts: fc.integer({ min: 1, max: 5 }),
    keys: fc.integer({ min: 1, max: 4 }),
    reservedShare: fc.double({ min: 0, max: 0.9, noNaN: true }),
    steps: fc.array(fc.record({ account: fc.nat(4), key: fc.nat(3), leaves: fc.nat(99), isLeaving: fc.boolean() }), { maxLength: 300 }),
  });

  test("never more than the bound, nobody below its share refused while a slot is free, and no slot kept without need", () => {
    fc.assert(
      fc.property(shape, ({ bound, accounts, keys, reservedShare, steps }) => {
        const slots = new Slots(bound, accounts, keys, reservedShare);
        for (const { account: anyAccount, key: anyKey, leaves, isLeaving } of steps) {
          const [account, key] = [anyAccount % accounts, anyKey % keys];
          if (isLeaving && slots.held.length > 0) slots.held.splice(leaves % slots.held.length, 1);
          const taken = slots.held.length;
          const isBelowShare =
            slots.count(account) < bound / accounts &&
            slots.held.filter((slot) => slot.account === account && slot.key === key).length < bound / accounts / keys;
          const refusal = slots.ask(account, key);
          expect(slots.held.length).toBeLessThanOrEqual(bound);
          if (isBelowShare) expect(refusal).toEqual(taken < bound ? null : { reason: "full" });
          if (taken < bound * (1 - reservedShare) ** 2) expect(refusal).toBeNull();
          if (taken === bound) expect(refusal).toEqual({ reason: "full" });
        }
      }),
      { numRuns: 300 },
    );
  });
});
