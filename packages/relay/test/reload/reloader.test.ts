/** A reload whose database or whose own program fails changes nothing, and is told. */
import { expect, test } from "vitest";
import { CurrentSnapshot } from "../../src/chat/current-snapshot.ts";
import { snapshotOf } from "../../src/chat/snapshot.ts";
import type { Config, ConfigResult } from "../../src/config/config.ts";
import { loadConfig } from "../../src/config/load.ts";
import { Metrics } from "../../src/insight/metrics.ts";
import { Reloader } from "../../src/reloader.ts";

async function configOf(variables: Record<string, string>): Promise<Config> {
  const loaded = await loadConfig({ env: { DEEPSEEK_API_KEY: "sk-0123456789abcdef0123456789abcdef", ...variables }, cwd: "/nonexistent" });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.mistakes));
  return loaded.config;
}

async function reloaderOf(load: () => Promise<ConfigResult>, numberOf: () => Promise<number>) {
  const current = new CurrentSnapshot(snapshotOf(await configOf({}), 1));
  const metrics = new Metrics({ streamsActive: () => 0, rowsWaiting: () => 0, upstreams: () => [] });
  const said: string[] = [];
  const log = { info: (line: string) => void said.push(line), trouble: (line: string) => void said.push(line) };
  const source = { source: "environment", load, complete: (config: Config) => config, warningsOf: () => [] } as const;
  return { reloader: new Reloader({ ...source, revisions: { numberOf }, current, metrics, log }), current, metrics, said };
}

test("while the database gives no number the old configuration stays, and the new one holds as soon as it does", async () => {
  const next = await configOf({ ACTIVE_PROVIDER: "deepseek", OPENAI_API_KEY: "sk-0123456789abcdef0123456789abcdef" });
  let isDown = true;
  const numberOf = (): Promise<number> => (isDown ? Promise.reject(new Error("the database is away")) : Promise.resolve(2));
  const { reloader, current, metrics, said } = await reloaderOf(async () => ({ ok: true, config: next }), numberOf);
  expect(await reloader.reloadUnasked("a file changed")).toBe(false);
  expect([current.now.revision, [...current.now.config.upstreams.keys()]]).toEqual([1, ["deepseek"]]);
  expect(said.join("\n")).toContain("revision 1 stays: the database is away");
  isDown = false;
  expect(await reloader.reloadUnasked("a file changed")).toBe(true);
  expect([current.now.revision, [...current.now.config.upstreams.keys()]]).toEqual([2, ["deepseek", "openai"]]);
  expect(metrics.render()).toContain('millrace_config_reloads_total{result="postponed"} 1');
});

test("a bug in a load changes nothing, is in the log with its stack, and does not keep the next reload from its turn", async () => {
  let loads = 0;
  const load = async (): Promise<ConfigResult> => {
    if (++loads === 1) throw new Error("a bug");
    return { ok: true, config: await configOf({}) };
  };
  const { reloader, current, said } = await reloaderOf(load, () => Promise.resolve(1));
  expect(await reloader.reloadUnasked("SIGHUP")).toBe(true);
  expect(current.now.revision).toBe(1);
  expect(said.join("\n")).toMatch(/bug in a reload \(SIGHUP\), and what held before holds: Error: a bug\n\s+at /);
  expect(await reloader.reload({ author: "relay", reason: "SIGHUP" })).toMatchObject({ outcome: "unchanged", revision: 1 });
});

test("what is refused to be told first, as an audit that cannot be written, does not hold", async () => {
  const next = await configOf({ OPENAI_API_KEY: "sk-0123456789abcdef0123456789abcdef" });
  const { reloader, current } = await reloaderOf(
    async () => ({ ok: true, config: next }),
    () => Promise.resolve(2),
  );
  const reload = reloader.reload({ author: "owner", reason: "control API" }, () => Promise.reject(new Error("no audit")));
  await expect(reload).rejects.toThrow("no audit");
  expect(current.now.revision).toBe(1);
});
