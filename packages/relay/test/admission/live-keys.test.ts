import { expect, test } from "vitest";
import { newKeyRecord } from "../../src/admission/keys.ts";
import { LiveKeys } from "../../src/admission/live-keys.ts";

test("keys that are not revoked are counted by account, however often they are told of", () => {
  const live = new LiveKeys();
  const [a, b] = ["a", "b"].map((account) => newKeyRecord(account, "test", 0).record);
  const second = newKeyRecord("a", "test", 0).record;
  if (a === undefined || b === undefined) throw new Error("no key");
  for (const key of [a, a, b, second]) live.note(key);
  expect([live.accounts, live.keysOf("a"), live.keysOf("b"), live.keysOf("c")]).toEqual([2, 2, 1, 0]);
  live.note({ ...b, revokedAt: 1 });
  live.note({ ...b, revokedAt: 1 });
  live.note({ ...second, revokedAt: 1 });
  expect([live.accounts, live.keysOf("a"), live.keysOf("b")]).toEqual([1, 1, 0]);
});
