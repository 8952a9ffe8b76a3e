/** What a swap of the configuration changes, for whom, and what it leaves alone. Each test says what the next load finds. */
import { request } from "node:http";
import { expect, test as base, vi } from "vitest";
import type { Config, ConfigResult } from "../../src/config/config.ts";
import { startControlPlane, dataOf, jsonOf } from "../control/control-plane.ts";
import type { ControlPlane, Json } from "../control/control-plane.ts";
import { PRICES, TIERS } from "../control/configured.ts";
import { tierForAll } from "../limits/tiers.ts";
import { call, errorOf, MESSAGES, readStream } from "../support/call.ts";
import type { RelaySetup } from "../support/start-relay.ts";

interface Reloading extends ControlPlane {
  /** Loads what `change` makes of the configuration that the relay was started with. */
  reload(change: (started: Config) => Partial<Config> | ConfigResult): Promise<Json>;
}

const test = base.extend<{ begin: (setup?: Partial<RelaySetup>) => Promise<Reloading> }>({
  begin: async ({ task: _task }, use) => {
    const planes: ControlPlane[] = [];
    await use(async (setup = {}) => {
      let next: (started: Config) => Partial<Config> | ConfigResult = (started) => started;
      const load = (started: Config): ConfigResult => {
        const found = next(started);
        return "ok" in found ? found : { ok: true, config: { ...started, ...found } };
      };
      const plane = await startControlPlane({ reload: load, ...setup });
      planes.push(plane);
      return { ...plane, reload: (change) => ((next = change), plane.made("POST", "reload")) };
    });
    await Promise.all(planes.map((plane) => plane.close()));
  },
});

const SLOW = { text: "one two three four five six seven eight nine ten", ratePerSecond: 4 };
const TWO: RelaySetup["upstreams"] = {
  a: { simulator: { scenario: SLOW } },
  b: { simulator: { scenario: { text: "from b" } } },
};

/** Model `m` by one of the upstreams alone, without the others. */
const only =
  (name: string) =>
  ({ upstreams, models }: Config): Partial<Config> => ({
    upstreams: new Map([...upstreams].filter(([each]) => each === name)),
    models: new Map(
      [...models].map(([each, model]) => [each, { ...model, routes: model.routes.filter(({ upstream }) => upstream === name) }]),
    ),
  });

test("an upstream that is taken away ends what it began, while the next request goes to the one that is left", async ({ begin }) => {
  const plane = await begin({ upstreams: TWO });
  let onBytes = (): void => undefined;
  const begun = new Promise<void>((resolve) => (onBytes = resolve));
  const running = call(plane.relay, { onBytes: () => onBytes() });
  await begun;
  expect(await plane.reload(only("b"))).toEqual({ outcome: "applied", revision: 2, needs_restart: [], warnings: [] });
  expect(plane.relay.app.metrics.render()).toContain('millrace_upstream_in_flight{upstream="a"} 1');
  const after = readStream(await call(plane.relay));
  expect(after.choices[0]?.text).toBe("from b");
  const stream = readStream(await running);
  expect([stream.outcome, stream.choices[0]?.text]).toEqual(["complete", SLOW.text]);
  await vi.waitFor(() => expect(plane.relay.app.metrics.render()).not.toContain('millrace_upstream_in_flight{upstream="a"}'));
  const rows = plane.relay.rows("requests");
  expect(rows.map((row) => [row["upstream"], row["revision"]])).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
});

test("a request that came before the swap and is planned after it is answered by what held when it came", async ({ begin }) => {
  const plane = await begin({ upstreams: TWO });
  const body = JSON.stringify({ model: "m", stream: false, messages: MESSAGES });
  const { port, key } = plane.relay;
  const headers = {
    authorization: `Bearer ${key}`,
    "content-type": "application/json",
    "content-length": body.length,
    expect: "100-continue",
  };
  const sent = request({ port, path: "/v1/chat/completions", method: "POST", headers });
  const status = new Promise<number>((resolve) => sent.on("response", (response) => resolve(response.resume().statusCode ?? 0)));
  const hasEntered = new Promise((resolve) => sent.on("continue", resolve));
  sent.flushHeaders();
  await hasEntered;
  await plane.reload(only("b"));
  sent.write(body.slice(0, 10));
  sent.end(body.slice(10));
  expect(await status).toBe(200);
  expect(await plane.relay.row()).toMatchObject({ upstream: "a", revision: 1 });
});

test("a running request is charged by the price that held when it came", async ({ begin }) => {
  const upstreams = { a: { simulator: { scenario: { text: "one two three", ratePerSecond: 10 } } } };
  const plane = await begin({ upstreams, prices: PRICES });
  const account = String((await plane.made("POST", "accounts", { name: "shop", metered: true }))["id"]);
  await plane.made("POST", `accounts/${account}/credits`, { amount: "5.00", reason: "test", reference: "r1" });
  const { key } = await plane.made("POST", "keys", { account_id: account });
  let onBytes = (): void => undefined;
  const begun = new Promise<void>((resolve) => (onBytes = resolve));
  const ask = { body: { model: "m", stream: true, max_tokens: 10, messages: MESSAGES } };
  const running = call({ port: plane.relay.port, key: String(key) }, { ...ask, onBytes: () => onBytes() });
  await begun;
  await plane.reload(() => ({ prices: { prices: new Map(), costs: new Map(), derived: new Map() } }));
  expect(readStream(await running).outcome).toBe("complete");
  const row = await plane.relay.row();
  const [input, output] = [Number(row["input_tokens"]), Number(row["output_tokens"])];
  expect(row).toMatchObject({
    revision: 1,
    charge_nanos: input * 1_000_000 + output * 2_000_000,
    cost_nanos: input * 500_000 + output * 1_000_000,
  });
  const after = await call({ port: plane.relay.port, key: String(key) }, ask);
  expect(after.status).not.toBe(200);
});

test("limits keep their counts over a reload, and new limits hold at once", async ({ begin }) => {
  const plane = await begin({ limits: tierForAll({ limits: { rpm: 5 } }) });
  const plain = { body: { model: "m", stream: false, messages: MESSAGES } };
  for (let times = 0; times < 3; times++) expect((await call(plane.relay, plain)).status).toBe(200);
  await plane.reload(() => ({ limits: tierForAll({ limits: { rpm: 4 } }) }));
  expect((await call(plane.relay, plain)).headers["x-ratelimit-limit-requests"]).toBe("4");
  const refused = await call(plane.relay, plain);
  expect([refused.status, errorOf(refused).code]).toEqual([429, "rate_limited"]);
  await plane.reload(() => ({ limits: tierForAll({ limits: { rpm: 100 } }) }));
  expect((await call(plane.relay, plain)).status).toBe(200);
});

test("an upstream that is left out for its key is asked again as soon as the key is another one", async ({ begin }) => {
  const upstreams = { a: { simulator: { apiKey: "sk-the-right-one" } } } as RelaySetup["upstreams"];
  const plane = await begin({ upstreams });
  const refused = await call(plane.relay, { body: { model: "m", stream: false, messages: MESSAGES } });
  expect(refused.status).not.toBe(200);
  expect((await call(plane.relay)).status).toBe(503);
  await plane.reload(({ upstreams: given }) => ({
    upstreams: new Map([...given].map(([name, upstream]) => [name, { ...upstream, apiKey: "sk-the-right-one" }])),
  }));
  expect((await call(plane.relay)).status).toBe(200);
});

const MISTAKES: ConfigResult = {
  ok: false,
  mistakes: [
    { place: "config.yaml:1:1", message: "The first one." },
    { place: "DEEPSEEK_API_KEY", message: "The second one." },
  ],
};

test("a bad configuration is refused whole, with all its mistakes in the answer, in the log and in the metric", async ({ begin }) => {
  const plane = await begin();
  await expect(plane.reload(() => MISTAKES)).rejects.toThrow("400");
  const answer = await plane.ask("POST", "reload");
  const { error } = jsonOf(answer) as { error: Json };
  expect(error).toMatchObject({ code: "invalid_request", mistakes: MISTAKES.ok ? [] : MISTAKES.mistakes });
  for (const said of [String(error["message"]), plane.relay.logLines.join("")])
    for (const part of ["config.yaml:1:1: The first one.", "DEEPSEEK_API_KEY: The second one."]) expect(said).toContain(part);
  const metrics = plane.relay.app.metrics.render();
  expect(metrics).toContain('millrace_config_reloads_total{result="refused"} 2');
  expect(metrics).toContain("millrace_config_revision 1\n");
  expect((await call(plane.relay)).status).toBe(200);
});

test("what cannot change while the relay runs is named and stays, and the rest holds", async ({ begin }) => {
  const plane = await begin({ limits: TIERS });
  const change = ({ log, listen }: Config): Partial<Config> => ({
    listen: { ...listen, port: 1 },
    dataDir: "/elsewhere",
    database: { kind: "sqlite", path: "/elsewhere/millrace.db" },
    durability: "power",
    log: { ...log, format: "text" },
    firstKey: "sk-another-one-0123456789abcdef0123456789",
    limits: tierForAll({ limits: { rpm: 7 } }),
  });
  const needsRestart = ["listen", "data", "database", "durability", "log", "MILLRACE_KEY"];
  expect(await plane.reload(change)).toMatchObject({ outcome: "applied", revision: 2, needs_restart: needsRestart });
  expect(plane.relay.logLines.join("")).toContain(`${needsRestart.join(", ")} changed, and holds only after a restart`);
  expect(plane.relay.app.metrics.render()).toContain('millrace_config_needs_restart{key="listen"} 1');
  expect((await call(plane.relay)).headers["x-ratelimit-limit-requests"]).toBe("7");
  expect(plane.relay.app.current.now.config.dataDir).toBe(plane.relay.dataDir);
  expect(await plane.reload((started) => started)).toMatchObject({ outcome: "applied", revision: 3, needs_restart: [] });
  expect(plane.relay.app.metrics.render()).not.toContain("millrace_config_needs_restart{");
});

test("a configuration that decides the same keeps its number", async ({ begin }) => {
  const plane = await begin();
  expect(await plane.reload(({ log }) => ({ log, warnings: ["odd"] }))).toMatchObject({
    outcome: "unchanged",
    revision: 1,
    warnings: ["odd"],
  });
  expect(plane.relay.app.metrics.render()).toContain('millrace_config_reloads_total{result="unchanged"} 1');
});

test("every reload that is asked for is in the audit, with who asked and what became of it", async ({ begin }) => {
  const plane = await begin();
  const { token, id } = await plane.made("POST", "members", { name: "op", role: "operator" });
  await plane.reload(() => ({ trustedProxies: ["10.0.0.1"] }));
  await plane.reload(() => MISTAKES).catch(() => undefined);
  await plane.ask("POST", "reload", { token: String(token) });
  const entries = dataOf(await plane.made("GET", "audit")).filter(({ action }) => action === "config.reload");
  expect(entries.map(({ actor, before, after }) => ({ actor, before, after }))).toEqual([
    { actor: id, before: { revision: 2 }, after: { revision: 2, outcome: "refused", mistakes: 2 } },
    { actor: "owner", before: { revision: 2 }, after: { revision: 2, outcome: "refused", mistakes: 2 } },
    { actor: "owner", before: { revision: 1 }, after: { revision: 2, outcome: "applied", needs_restart: [] } },
  ]);
});

test("the owner's token that a reload brings holds at once, and the old one no more", async ({ begin }) => {
  const plane = await begin();
  const adminToken = `mra_${"n".repeat(40)}`;
  await plane.reload(() => ({ adminToken }));
  expect((await plane.ask("GET", "session")).status).toBe(401);
  expect((await plane.ask("GET", "session", { token: adminToken })).status).toBe(200);
});

test("tiers and prices of the control plane, and the models of the data plane, are those that hold now", async ({ begin }) => {
  const plane = await begin();
  await plane.reload(({ models }) => ({
    limits: TIERS,
    prices: PRICES,
    models: new Map([...models].map(([, m]) => ["n", { ...m, name: "n" }])),
  }));
  expect(dataOf(await plane.made("GET", "tiers")).map(({ name }) => name)).toEqual(["gold"]);
  expect(dataOf(await plane.made("GET", "prices")).map(({ model }) => model)).toContain("n");
  const listed = jsonOf(await call(plane.relay, { method: "GET", path: "/v1/models", body: null }));
  expect(dataOf(listed).map(({ id }) => id)).toEqual(["n"]);
});
