/**
 * `npm run bench -- --rows [N]`: what many rows cost. Fills a database with N requests over ninety days (200,000; with
 * `--long` 10,000,000), then measures the start of a relay on it, what a dashboard asks of it while streams run, and
 * backup and restore. `--database postgres://...` takes an empty PostgreSQL database.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { migratePostgres } from "../packages/relay/src/store/postgres/migrate.ts";
import { migrateSqlite } from "../packages/relay/src/store/sqlite/migrate.ts";
import { Session } from "../packages/relay/src/store/postgres/session.ts";
import { SqliteRunner } from "../packages/relay/src/store/sqlite/runner.ts";
import { startOnData, startUpstream } from "./arms.ts";
import { fillRows } from "./rows-fill.ts";
import { ANSWER_MUST_MS } from "./rows-questions.ts";
import { ask, command, felt, LOAD } from "./rows-work.ts";
import type { Asked } from "./rows-work.ts";
import { quantile } from "./stats.ts";

const ROWS = 200_000;
const ROWS_LONG = 10_000_000;
const STARTS = 5;
const START_MUST_MS = 2_000;
const QUIET_SECONDS = 8;

export async function runRows(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { rows: { type: "boolean" }, long: { type: "boolean" }, database: { type: "string" } },
  });
  const count = Number(positionals[0] ?? (values.long === true ? ROWS_LONG : ROWS));
  const directory = mkdtempSync(join(tmpdir(), "millrace-bench-rows-"));
  try {
    await measure(count, directory, values.database ?? join(directory, "millrace.db"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function measure(count: number, directory: string, place: string): Promise<void> {
  const isPostgres = place.startsWith("postgres");
  const nowMs = Date.now();
  say(
    `${count.toLocaleString("en-US")} requests over 90 days in ${isPostgres ? "PostgreSQL" : "SQLite"}; load of the machine before: ${load()}`,
  );
  const filledIn = await timed(() => fill(place, count, nowMs));
  say(`  filled in ${seconds(filledIn)}${isPostgres ? "" : `, ${megabytes(statSync(place).size)}`}`);
  const upstream = await startUpstream();
  try {
    const setting = isPostgres ? `database: ${place}\ndurability: process` : "durability: process";
    await measureStarts(directory, upstream.port, setting);
    await measureQuestions(directory, upstream.port, setting, nowMs);
  } finally {
    await upstream.stop();
  }
  if (!isPostgres) await measureBackup(directory);
  say(`load of the machine after: ${load()}`);
}

async function fill(place: string, count: number, nowMs: number): Promise<void> {
  if (place.startsWith("postgres")) {
    await migratePostgres({ connectionString: place });
    const session = await Session.open({ connectionString: place }, "SET synchronous_commit = off; SET enable_seqscan = off", 60_000);
    await fillRows((make) => session.run(make()), count, nowMs);
    await session.execute("ANALYZE");
    return session.close();
  }
  const database = new DatabaseSync(place);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144");
  migrateSqlite(database);
  const runner = new SqliteRunner(database);
  await fillRows((make) => runner.run(make()), count, nowMs);
  database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
}

async function measureStarts(directory: string, upstreamPort: number, setting: string): Promise<void> {
  const ms: number[] = [];
  for (let n = 0; n < STARTS; n++) {
    const relay = await startOnData(directory, upstreamPort, setting);
    ms.push(relay.startMs);
    await relay.stop();
  }
  report("start to ready", ms, START_MUST_MS);
}

/** First without, then with a dashboard that asks: what streams and probes feel of it. */
async function measureQuestions(directory: string, upstreamPort: number, setting: string, nowMs: number): Promise<void> {
  const relay = await startOnData(directory, upstreamPort, setting);
  try {
    const quiet = await felt(relay, () => sleep(QUIET_SECONDS * 1_000));
    let asked: Asked[] = [];
    const busy = await felt(relay, async () => (asked = await ask(relay.port, nowMs)));
    for (const { name, ms, lines } of asked) report(`${name} (${lines})`, ms, ANSWER_MUST_MS);
    say(`  ${LOAD.streams} streams x ${LOAD.rate} events/s meanwhile, without and with these questions:`);
    say(`    events on their way   p50 ${both(quiet.transit, busy.transit, 0.5)}, p99 ${both(quiet.transit, busy.transit, 0.99)}`);
    say(
      `    GET /healthz          p50 ${both(quiet.probe, busy.probe, 0.5)}, p99 ${both(quiet.probe, busy.probe, 0.99)}, longest ${both(quiet.probe, busy.probe, 1)}`,
    );
  } finally {
    await relay.stop();
  }
}

async function measureBackup(directory: string): Promise<void> {
  const file = join(directory, "backup.gz");
  const backup = await command(["backup", file, "--data", directory]);
  say(`  backup ${seconds(backup.ms)}, ${megabytes(statSync(file).size)}, at most ${megabytes(backup.rssMax)} of memory`);
  const restore = await command(["restore", file, "--data", join(directory, "restored")]);
  say(`  restore ${seconds(restore.ms)}, at most ${megabytes(restore.rssMax)} of memory`);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

function report(name: string, ms: readonly number[], mustMs: number): void {
  const median = quantile(ms, 0.5);
  const verdict = median <= mustMs ? "" : `   above ${mustMs} ms`;
  say(`  ${name.padEnd(58)} ${median.toFixed(1).padStart(9)} ms, longest ${Math.max(...ms).toFixed(1)}${verdict}`);
}

function both(quiet: readonly number[], busy: readonly number[], share: number): string {
  return `${quantile(quiet, share).toFixed(2)} / ${quantile(busy, share).toFixed(2)} ms`;
}

function say(line: string): void {
  console.log(line);
}

function load(): string {
  return loadavg()
    .map((each) => each.toFixed(2))
    .join(" ");
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
