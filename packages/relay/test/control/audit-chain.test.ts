import { expect, test } from "vitest";
import { chained, verifyChain } from "../../src/control/audit-entry.ts";
import type { AuditEntry, AuditNote } from "../../src/control/audit-entry.ts";

const NOTE: AuditNote = {
  at: 1,
  actor: "owner",
  role: "owner",
  action: "a.b",
  target: "t",
  before: null,
  after: { b: 1, a: [2] },
  address: null,
};

function chainOf(count: number): AuditEntry[] {
  const chain: AuditEntry[] = [];
  for (let i = 0; i < count; i++) chain.push(chained({ ...NOTE, at: i }, chain.at(-1) ?? null));
  return chain;
}

test("an entry's hash is of its content, however its members are ordered", () => {
  expect(chained({ ...NOTE, after: { a: [2], b: 1 } }, null).hash).toBe(chained(NOTE, null).hash);
  for (const change of [
    { at: 2 },
    { actor: "x" },
    { role: "x" },
    { target: "x" },
    { after: { a: [2] } },
    { before: {} },
    { address: "::1" },
  ])
    expect(chained({ ...NOTE, ...change }, null).hash).not.toBe(chained(NOTE, null).hash);
});

test("a chain tells the first entry that was altered, moved, put in or taken out", () => {
  const whole = chainOf(5);
  const [a, b, c, d, e] = whole as [AuditEntry, AuditEntry, AuditEntry, AuditEntry, AuditEntry];
  const brokenAt = (entries: AuditEntry[]): number | undefined => verifyChain(entries.toReversed()).broken?.seq;
  expect(verifyChain(whole.toReversed())).toEqual({ entries: 5, head: e.hash, broken: null });
  expect(brokenAt([])).toBeUndefined();
  expect(brokenAt([a, { ...b, actor: "x" }, c, d, e])).toBe(2);
  expect(brokenAt([a, b, d, e])).toBe(4);
  expect(brokenAt([b, c, d, e])).toBe(2);
  expect(brokenAt([a, c, b, d, e])).toBe(3);
  const forged = chained({ ...NOTE, actor: "x" }, a);
  expect(brokenAt([a, forged, c, d, e])).toBe(3);
});
