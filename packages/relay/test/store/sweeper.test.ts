import { describe, expect, test } from "vitest";
import type { Operation, Result } from "../../src/ledger/operation.ts";
import type { Store } from "../../src/store/store.ts";
import { Sweeper } from "../../src/store/keeper/sweeper.ts";

describe("who is taken for dead", () => {
  const OK: Result = { ok: true, isRepeat: false, balances: null, hold: null, recovery: { epoch: 1, holds: [] } };

  /** A sweeper whose time and peers are said by the test. */
  function newSweeper(peers: { leaseUntilMs: number }): { at(ms: number): Promise<void>; readonly asked: string[] } {
    let now = 0;
    const asked: string[] = [];
    const query = async (name: string, args: { own?: string }): Promise<unknown> => {
      if (name === "deadNodes") asked.push(`but ${args.own}`);
      return name === "deadNodes" ? [{ node: "peer", ...peers }] : [];
    };
    const ledger = {
      node: "me",
      renew: async () => void asked.push("renew"),
      ask: async (operation: Operation) => (asked.push(operation.kind), OK),
    };
    const store = { query, trouble: null } as unknown as Store;
    const sweeper = new Sweeper({ store, ledger, deadAfterMs: 30_000, onTrouble: () => undefined, now: () => now });
    return { asked, at: async (ms) => ((now = ms), await sweeper.sweep()) };
  }

  test("never a relay by itself, and a peer only when its lease has stood still for two looks", async () => {
    const peers = { leaseUntilMs: 5 };
    const { at, asked } = newSweeper(peers);
    for (const ms of [0, 10_000, 20_000]) await at(ms);
    expect(asked).toEqual(["renew", "renew", "renew"]);
    await at(30_000);
    expect(asked.splice(0).slice(3)).toEqual(["renew", "but me"]);
    peers.leaseUntilMs = 6;
    await at(40_000);
    expect(asked.splice(0)).toEqual(["renew", "but me"]);
    await at(50_000);
    expect(asked).toEqual(["renew", "but me", "recover"]);
  });

  test("nobody, for as long as a lease, after a pause of this process or of the machine", async () => {
    const { at, asked } = newSweeper({ leaseUntilMs: 5 });
    for (const ms of [0, 10_000, 20_000, 30_000]) await at(ms);
    asked.length = 0;
    for (const ms of [71_000, 81_000, 91_000]) await at(ms);
    expect(asked).toEqual(["renew", "renew", "renew"]);
    for (const ms of [101_000, 111_000]) await at(ms);
    expect(asked.slice(3)).toEqual(["renew", "but me", "renew", "but me", "recover"]);
  });
});
