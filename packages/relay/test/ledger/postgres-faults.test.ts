import { afterEach, beforeEach, expect, test } from "vitest";
import pg from "pg";
import type { ClientConfig } from "pg";
import { Ledger } from "../../src/ledger/ledger.ts";
import type { Operation, Result } from "../../src/ledger/operation.ts";
import { unitsOf } from "../../src/ledger/unit.ts";
import type { FencingToken } from "../../src/ledger/unit.ts";
import type { CommitUnit } from "../../src/store/ledger/commit.ts";
import { read } from "../../src/store/sql/sql.ts";
import type { Write } from "../../src/store/tables/writes.ts";
import { PostgresLedger } from "../../src/store/postgres/ledger.ts";
import { PostgresStore } from "../../src/store/postgres/store.ts";
import { postgresBinaries, postgresIsDue } from "../support/postgres.ts";
import { openCuttingProxy } from "./cutting-proxy.ts";
import type { CuttingProxy } from "./cutting-proxy.ts";
import { commitEach, credit, hold, must, settle, word } from "./operations.ts";
import { newPostgresSchema } from "./stores.ts";

test("where PostgreSQL must be tested it is installed", () => {
  expect(postgresIsDue() && postgresBinaries() === null).toBe(false);
});

const SEAT: FencingToken = { node: "node_1", epoch: 1, leaseMs: 60_000 };

if (postgresIsDue()) {
  let connection: ClientConfig;
  let proxy: CuttingProxy;
  let open: PostgresLedger[];

  beforeEach(async () => {
    connection = await newPostgresSchema();
    proxy = await openCuttingProxy(connection.port ?? 0);
    open = [];
  });
  afterEach(async () => {
    for (const ledger of open) await ledger.close();
    await proxy.close();
  });

  function connect(through: "proxy" | "directly", troubles: string[] = []): PostgresLedger {
    const ledger = new PostgresLedger({
      connection: through === "proxy" ? { ...connection, port: proxy.port } : connection,
      onTrouble: (message) => troubles.push(message),
    });
    open.push(ledger);
    return ledger;
  }

  async function prepare(ledger: PostgresLedger, accounts: readonly string[] = ["acme"]): Promise<void> {
    const first: Operation[] = [{ kind: "recover", node: SEAT.node }];
    for (const accountId of accounts)
      first.push({ kind: "open_wallet", accountId, floorNanos: 0n }, credit(`top-up-${accountId}`, 1_000_000n, { accountId }));
    for (const result of await commitEach(ledger, SEAT, first)) must(result);
  }

  test.each(["COMMIT", "INSERT INTO holds", "BEGIN"])(
    "a connection that breaks after %s is answered as if it had not, and nothing happens twice",
    async (text) => {
      const troubles: string[] = [];
      const ledger = connect("proxy", troubles);
      await prepare(ledger);
      proxy.cutAfter(text);
      const held = await commitEach(ledger, SEAT, [hold("r1", 100n), hold("r2", 100n)]);
      expect([proxy.cuts, troubles.length]).toEqual([1, 1]);
      expect(held.map(word)).toEqual(text === "COMMIT" ? ["repeat", "repeat"] : ["ok", "ok"]);
      proxy.cutAfter("COMMIT");
      const [settled] = await commitEach(ledger, SEAT, [settle("r1", 70n)]);
      expect(must(settled)).toMatchObject({
        isRepeat: true,
        hold: { chargedNanos: 70n },
        balances: { balanceNanos: 999_930n, heldNanos: 100n },
      });
      expect(await ledger.audit()).toEqual([]);
    },
  );

  test(
    "a COMMIT whose answer does not come is asked after on a new connection, and answered as what it was",
    { timeout: 20_000 },
    async () => {
      const ledger = connect("proxy");
      await prepare(ledger);
      proxy.muteAfter("COMMIT");
      const startedAt = performance.now();
      expect((await commitEach(ledger, SEAT, [hold("r1", 100n), credit("grant-1", 7n)])).map(word)).toEqual(["repeat", "repeat"]);
      expect(performance.now() - startedAt).toBeLessThan(6_000);
      expect(await ledger.audit()).toEqual([]);
    },
  );

  test(
    "a hold whose COMMIT is not answered is refused in time and voided, so that its key can be used again",
    { timeout: 20_000 },
    async () => {
      const store = connect("proxy");
      await prepare(store);
      const ledger = await Ledger.open(store, { node: "node_1", leaseMs: 60_000 });
      const idempotency = { key: "k1", bodySha256: "0".repeat(64) };
      proxy.muteAfter("COMMIT");
      const startedAt = performance.now();
      expect(await ledger.ask(hold("r1", 1n, { idempotency }))).toMatchObject({ code: "store_unavailable", isUnknown: true });
      expect(performance.now() - startedAt).toBeLessThan(3_000);
      await expect.poll(async () => word(await ledger.ask(hold("r2", 1n, { idempotency }))), { timeout: 8_000 }).toBe("ok");
      expect(await ledger.ask(settle("r1", 1n))).toMatchObject({ code: "not_open", hold: { state: "voided" } });
      await ledger.close();
      expect(await store.audit()).toEqual([]);
    },
  );

  test(
    "while the server cannot be reached everything is refused within seconds, and goes on when it is back",
    { timeout: 20_000 },
    async () => {
      const store = connect("proxy");
      await prepare(store);
      const ledger = await Ledger.open(store, { node: "node_1", leaseMs: 60_000 });
      expect(word(await ledger.ask(hold("r1", 1n)))).toBe("ok");
      proxy.isDown = true;
      proxy.cutAfter("COMMIT");
      const startedAt = performance.now();
      expect(await ledger.ask(hold("r2", 1n))).toMatchObject({ code: "store_unavailable", isUnknown: true });
      expect(performance.now() - startedAt).toBeLessThan(8_000);
      proxy.isDown = false;
      // The lost hold had been committed; nobody will use it, so it is voided by the next batch.
      await ledger.ask(hold("r3", 1n));
      expect(must(await ledger.ask(settle("r1", 1n))).balances?.heldNanos).toBe(1n);
      expect(await ledger.ask(settle("r2", 1n))).toMatchObject({ code: "not_open", hold: { state: "voided" } });
      await ledger.close();
      expect(await store.audit()).toEqual([]);
    },
  );

  test("two relays on the same wallets and budgets neither deadlock nor overdraw, and add up", { timeout: 60_000 }, async () => {
    const accounts = Array.from({ length: 8 }, (_, n) => `a${n}`);
    await prepare(connect("directly"), accounts);
    const relays = await Promise.all(
      ["relay_1", "relay_2"].map((node) =>
        Ledger.open(connect("directly"), { node, leaseMs: 60_000, limits: { batchMax: 50, askedWithinMs: 30_000 } }),
      ),
    );
    for (const id of ["b1", "b2"])
      must(await relays[0]?.ask({ kind: "set_budget", id, scope: "key", period: "total", capNanos: 10n ** 12n }));
    const request = async (relay: Ledger, id: string, n: number): Promise<string[]> => {
      const accountId = accounts[(n * 7 + id.length) % accounts.length] ?? "a0";
      const budgetIds = n % 2 === 0 ? ["b1", "b2"] : ["b2", "b1"];
      const held = await relay.ask(hold(id, 9_000n, { accountId, budgetIds }));
      return held.ok ? [word(held), word(await relay.ask(settle(id, 100n)))] : [word(held)];
    };
    const words = await Promise.all(relays.flatMap((relay, r) => Array.from({ length: 2_000 }, (_, n) => request(relay, `r${r}_${n}`, n))));
    expect([...new Set(words.flat())].toSorted()).toEqual(["insufficient_credits", "ok"]);
    expect(await open[0]?.audit()).toEqual([]);
    await Promise.all(relays.map((relay) => relay.close()));
  });

  test(
    "an order that several relays confirm at once, again and again, credits once, and is one's of its account",
    { timeout: 30_000 },
    async () => {
      const relays = [connect("directly"), connect("directly"), connect("directly")];
      await prepare(relays[0]!, ["acme", "other"]);
      for (let order = 0; order < 20; order++) {
        const ask = (relay: PostgresLedger, n: number): Promise<Result[]> =>
          commitEach(relay, SEAT, [
            credit(`order-${order}`, 100n, { accountId: n % 5 === 4 ? "other" : "acme" }),
            credit(`order-${order}`, 101n),
          ]);
        const results = await Promise.all(Array.from({ length: 15 }, (_, n) => ask(relays[n % 3]!, n)));
        const words = results.map((result) => word(result[0])).filter((each) => each !== "reference_used");
        expect(words.filter((each) => each === "ok").length).toBe(1);
        expect(results.every((result) => word(result[1]) === "reference_used")).toBe(true);
      }
      const client = new pg.Client(connection);
      await client.connect();
      const { rows } = await client.query(
        "SELECT count(*)::int AS n, sum(amount)::int AS amount FROM transfers WHERE id LIKE 'credit:order-%'",
      );
      await client.end();
      expect(rows).toEqual([{ n: 20, amount: 2_000 }]);
      expect(await relays[0]!.audit()).toEqual([]);
    },
  );

  test("of a settlement and a peer's recovery at the same moment one wins, and the other finds it done", { timeout: 60_000 }, async () => {
    const [mine, peer] = [connect("directly"), connect("directly")];
    await prepare(mine);
    let epoch = 1;
    for (let round = 0; round < 30; round++) {
      const id = `r${round}`;
      const seat = { ...SEAT, epoch, leaseMs: 0 };
      const [renewed, held] = await commitEach(mine, { ...seat, leaseMs: 60_000 }, [
        { kind: "recover", node: SEAT.node },
        { kind: "renew_lease" },
      ]);
      epoch = must(renewed).recovery?.epoch ?? 0;
      expect(word(held)).toBe("stale_epoch");
      must((await commitEach(mine, { ...seat, epoch }, [hold(id, 100n)]))[0]);
      const [settled, recovered] = await Promise.all([
        commitEach(mine, { ...seat, epoch }, [settle(id, 60n)]),
        // The node itself, started a second time: it need not wait for the lease.
        commitEach(peer, { ...SEAT, epoch: 0 }, [{ kind: "recover", node: SEAT.node }]),
      ]);
      const hasSettled = settled[0]?.ok === true;
      expect(must(recovered[0]).recovery?.holds).toHaveLength(hasSettled ? 0 : 1);
      if (!hasSettled) expect(settled[0]).toMatchObject({ code: "not_open", hold: { state: "recovered", chargedNanos: 0n } });
    }
    expect(await mine.audit()).toEqual([]);
  });

  test("a row that somebody else keeps locked refuses who needs it, and holds nobody else up", { timeout: 30_000 }, async () => {
    const store = connect("directly");
    await prepare(store, ["acme", "other"]);
    const ledger = await Ledger.open(store, { node: "node_1", leaseMs: 60_000 });
    const mine = (id: string): Operation => hold(id, 1n);
    const others = (id: string): Operation => hold(id, 1n, { accountId: "other" });
    must(await ledger.ask({ kind: "set_budget", id: "b1", scope: "key", period: "total", capNanos: 10n ** 9n }));
    expect([await ledger.ask(mine("r0")), await ledger.ask(others("s0"))].map(word)).toEqual(["ok", "ok"]);
    const locker = new pg.Client(connection);
    await locker.connect();
    await locker.query("BEGIN; SELECT * FROM wallets WHERE account_id = 'acme' FOR UPDATE; SELECT * FROM budgets FOR UPDATE");
    const askAll = async (n: number): Promise<string[]> => {
      const withBudget = hold(`t${n}`, 1n, { accountId: "other", budgetIds: ["b1"] });
      const operations = [
        mine(`r${n}`),
        others(`s${n}`),
        settle("r0", 1n),
        settle(`s${n - 1}`, 1n),
        withBudget,
        { kind: "renew_lease" } as const,
      ];
      return (await Promise.all(operations.map((operation) => ledger.ask(operation)))).map(word);
    };
    const no = "store_unavailable";
    for (const [n, withinMs] of [
      [1, 2_500],
      [2, 500],
      [3, 500],
    ] as const) {
      const startedAt = performance.now();
      expect(await askAll(n)).toEqual([no, "ok", no, "ok", no, "ok"]);
      expect(performance.now() - startedAt).toBeLessThan(withinMs);
    }
    await locker.end();
    expect(await askAll(4)).toEqual(["ok", "ok", "ok", "ok", "ok", "ok"]);
    await ledger.close();
    expect(await store.audit()).toEqual([]);
  });

  test("a lock that is not of the ledger's keeps out the writes that need it, and no money", { timeout: 30_000 }, async () => {
    const store = connect("directly");
    await prepare(store);
    const account = { id: "acct_1", name: "acme", isMetered: true, createdAt: 1, tier: null, status: "active" } as const;
    const made: CommitUnit = { operations: [], writes: [{ kind: "account", account, before: null }] };
    const renamed: CommitUnit = { operations: [], writes: [{ kind: "account", account: { ...account, name: "other" }, before: account }] };
    expect(await store.commit(SEAT, [made])).toEqual([{ ok: true, results: [] }]);
    const locker = new pg.Client(connection);
    await locker.connect();
    await locker.query("BEGIN; SELECT * FROM accounts FOR UPDATE");
    const [written, held] = await store.commit(SEAT, [renamed, ...unitsOf<Write>([hold("r1", 100n)])]);
    expect(written).toMatchObject({ ok: false, code: "store_unavailable" });
    expect(held).toMatchObject({ ok: true, results: [{ ok: true }] });
    await locker.end();
    expect(await store.commit(SEAT, [renamed])).toEqual([{ ok: true, results: [] }]);
    expect(await store.audit()).toEqual([]);
  });

  test("writes alone are not asked again once they were sent, while the operations of their batch are", async () => {
    const ledger = connect("proxy");
    await prepare(ledger);
    const note = { at: 1, actor: "a", role: "owner", action: "x", target: "t", before: null, after: null, address: null };
    const writes: CommitUnit = { operations: [], writes: [{ kind: "audit", note }] };
    proxy.cutAfter("COMMIT");
    const [written, held] = await ledger.commit(SEAT, [writes, ...unitsOf<Write>([hold("r1", 100n)])]);
    expect(written).toMatchObject({ ok: false, code: "store_unavailable", isUnknown: true });
    expect(held).toMatchObject({ ok: true, results: [{ ok: true, isRepeat: true }] });
    expect(await ledger.read(read("SELECT count(*) AS n FROM audit_log", []))).toEqual([{ n: 1n }]);
  });

  test("trouble that comes before anybody watches ends when the server answers again", { timeout: 20_000 }, async () => {
    const store = await PostgresStore.open({
      connection: { ...connection, port: proxy.port },
      durability: "process",
      onTrouble: () => undefined,
    });
    proxy.isDown = true;
    proxy.cutAfter("SELECT");
    await expect.poll(() => store.trouble, { timeout: 5_000 }).not.toBeNull();
    const startedAt = performance.now();
    await expect(store.query("member", { by: "id", value: "nobody" })).rejects.toThrow("does not answer");
    expect(await store.commit(SEAT, [{ operations: [], writes: [] }])).toMatchObject([
      { code: "store_unavailable", reason: expect.stringContaining("does not answer") as string },
    ]);
    expect(performance.now() - startedAt).toBeLessThan(500);
    proxy.isDown = false;
    await expect.poll(() => store.trouble, { timeout: 5_000 }).toBeNull();
    expect(await store.query("member", { by: "id", value: "nobody" })).toBeNull();
    await store.close();
  });

  test("a server that may forget what it has committed is refused where power cuts count", async () => {
    const ledger = new PostgresLedger({ connection, durability: "power" });
    open.push(ledger);
    expect(await commitEach(ledger, SEAT, [{ kind: "renew_lease" }])).toMatchObject([
      { code: "store_unavailable", reason: expect.stringContaining("fsync = on") as string },
    ]);
  });
}
