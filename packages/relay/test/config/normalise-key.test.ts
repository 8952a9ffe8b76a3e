import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { normaliseKey } from "../../src/basics/normalise-key.ts";

interface Vector {
  readonly name: string;
  readonly text: string;
  readonly key?: string;
  readonly fault?: string;
}

const FIXTURE = readFileSync(new URL("./fixtures/keys.json", import.meta.url), "utf8");

const { vectors } = JSON.parse(FIXTURE) as { readonly vectors: readonly Vector[] };

const BLANKS = [" ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\ufeff", "\u200b", "\u2060", "\u0085", "Bearer ", "bearer\t"];

describe("a pasted key", () => {
  test.each(vectors)("$name", ({ text, key, fault }) => {
    expect(normaliseKey(text)).toEqual(key === undefined ? { fault } : { key });
  });

  test("comes out the same whatever blanks, marks and Bearers stand around it", () => {
    const key = fc.stringMatching(/^[A-Za-z0-9_.-]{7,60}$/);
    const around = fc.array(fc.constantFrom(...BLANKS), { maxLength: 6 }).map((parts) => parts.join(""));
    const after = fc.array(fc.constantFrom(...BLANKS.slice(0, 10)), { maxLength: 6 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(key, around, after, (inner, before, behind) => {
        expect(normaliseKey(`${before}${inner}${behind}`)).toEqual({ key: inner });
      }),
    );
  });

  test("is printable ASCII or a fault, and a second pass changes nothing", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 80 }), (text) => {
        const result = normaliseKey(text);
        if ("fault" in result) return;
        expect(result.key).toMatch(/^[!-~]+$/);
        expect(normaliseKey(result.key)).toEqual(result);
      }),
      { numRuns: 2000 },
    );
  });

  test("is never repeated in the fault", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Z0-9]{12,40}$/), fc.constantFrom(" ", "\n", "\u200b", "é", '"', "\u0000"), (secret, odd) => {
        const result = normaliseKey(`${secret}${odd}${secret}`);
        expect("fault" in result && !result.fault.includes(secret)).toBe(true);
      }),
    );
  });

  test("cannot be made slow by what stands around it", () => {
    const started = performance.now();
    for (let run = 0; run < 50; run++) normaliseKey(`${"Bearer ".repeat(580)}k`);
    normaliseKey(" ".repeat(5_000_000));
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
