/**
 * `npm run bench`: what Millrace adds to a stream, with nginx as the control in the same run. Rounds are interleaved;
 * CPU comes from the kernel's books; figures are medians over rounds with their interquartile range, ratios to nginx
 * in the same round beside them. `--rounds N --streams N --rate N --seconds N --json --force`. With `--rows` it asks
 * something else, see `rows.ts`.
 */
import "../packages/relay/bin/runtime.js";
import "../scripts/strip.js";
import { parseArgs } from "node:util";
import { startMillrace, startNginx, startUpstream } from "./arms.ts";
import type { Arm } from "./arms.ts";
import { runPlain, runSingle, runStreams } from "./load.ts";
import { busyShare, cpuMicros, rssBytes } from "./processes.ts";
import { quantile, spreadOf } from "./stats.ts";

if (process.argv.includes("--rows")) {
  const { runRows } = await import("./rows.ts");
  await runRows(process.argv.slice(2));
  process.exit(0);
}
const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    streams: { type: "string", default: "300" },
    rate: { type: "string", default: "100" },
    seconds: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
    force: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const load = { streams: Number(values.streams), rate: Number(values.rate), seconds: Number(values.seconds) };
/** Above this share of busy cores before the run, its figures would be the neighbours'. */
const BUSY_MAX = 0.1;
/** A generator later than this measures itself. */
const BEHIND_MS_MAX = 250;
const PLAIN_REQUESTS = 3_000;
const PLAIN_IN_FLIGHT = 64;
const SINGLE_STREAMS = 300;
const SINGLE_PLAINS = 500;

const FIGURES = [
  "cpu per event (us)",
  "cpu per plain request (us)",
  "plain request p50, one at a time (ms)",
  "ttft p50, one stream (ms)",
  "ttft p99 under load (ms)",
  "transit p50 (ms)",
  "transit p99 (ms)",
  "rss after load (MB)",
] as const;
type Figure = (typeof FIGURES)[number];
type Round = Record<Figure, number>;

async function measure(arm: Arm): Promise<Round> {
  await runSingle(arm, 30);
  const single = await runSingle(arm, SINGLE_STREAMS);
  const alone = await runPlain(arm, SINGLE_PLAINS, 1);
  const plain = await cost(arm, () => runPlain(arm, PLAIN_REQUESTS, PLAIN_IN_FLIGHT));
  const streams = await cost(arm, () => runStreams(arm, load));
  const failed = single.failed + alone.failed + plain.result.failed + streams.result.failed;
  if (failed > 0) throw new Error(`${arm.name}: ${failed} requests failed; no figure of this run counts`);
  if (streams.result.behindMs > BEHIND_MS_MAX && !values.force)
    throw new Error(`the load generator fell ${Math.round(streams.result.behindMs)} ms behind: lower --streams or --rate`);
  return {
    "cpu per event (us)": streams.micros / streams.result.events,
    "cpu per plain request (us)": plain.micros / plain.result.requests,
    "plain request p50, one at a time (ms)": quantile(alone.firstEvent, 0.5),
    "ttft p50, one stream (ms)": quantile(single.firstEvent, 0.5),
    "ttft p99 under load (ms)": quantile(streams.result.firstEvent, 0.99),
    "transit p50 (ms)": quantile(streams.result.transit, 0.5),
    "transit p99 (ms)": quantile(streams.result.transit, 0.99),
    "rss after load (MB)": arm.pid === null ? Number.NaN : rssBytes(arm.pid) / 1e6,
  };
}

async function cost<T>(arm: Arm, work: () => Promise<T>): Promise<{ micros: number; result: T }> {
  const before = arm.pid === null ? Number.NaN : cpuMicros(arm.pid);
  const result = await work();
  return { micros: (arm.pid === null ? Number.NaN : cpuMicros(arm.pid)) - before, result };
}

function report(results: ReadonlyMap<string, readonly Round[]>): void {
  const control = results.get("nginx");
  console.log(
    `${load.streams} streams x ${load.rate} events/s for ${load.seconds} s, ${rounds} interleaved rounds; median (interquartile range), x = ratio to nginx in the same round\n`,
  );
  for (const figure of FIGURES) {
    console.log(figure);
    for (const [name, all] of results) {
      const { median, iqr } = spreadOf(all.map((round) => round[figure]));
      if (Number.isNaN(median)) continue;
      const ratio =
        control === undefined || name === "nginx"
          ? ""
          : `  x ${quantile(
              all.map((round, i) => round[figure] / (control[i]?.[figure] ?? Number.NaN)),
              0.5,
            ).toFixed(2)}`;
      console.log(`  ${name.padEnd(14)} ${median.toFixed(3).padStart(9)} (${iqr.toFixed(3)})${ratio}`);
    }
  }
  for (const name of ["metered", "metered, power"]) reportAdded(name, results);
}

/** What setting money aside and settling add to one plain request, round by round. */
function reportAdded(name: string, results: ReadonlyMap<string, readonly Round[]>): void {
  const figure = "plain request p50, one at a time (ms)";
  const base = results.get("millrace") ?? [];
  const added = (results.get(name) ?? []).map((round, i) => round[figure] - (base[i]?.[figure] ?? Number.NaN));
  const { median, iqr } = spreadOf(added);
  if (!Number.isNaN(median)) console.log(`hold + settle add, ${name}: p50 ${median.toFixed(3)} ms (${iqr.toFixed(3)})`);
}

const busy = await busyShare(1_000);
if (busy > BUSY_MAX && !values.force) {
  console.error(`the machine is ${Math.round(busy * 100)} % busy; figures taken now would not be ours. Wait, or say --force.`);
  process.exit(1);
}
const upstream = await startUpstream();
const arms: Arm[] = [upstream];
try {
  const nginx = await startNginx(upstream.port);
  if (nginx === null) console.error("nginx is not installed: there is no control in this run, so no ratios");
  else arms.push(nginx);
  arms.push(await startMillrace(upstream.port, "millrace"));
  arms.push(await startMillrace(upstream.port, "metered"));
  arms.push(await startMillrace(upstream.port, "metered, power"));
  const results = new Map(arms.map((arm) => [arm.name, [] as Round[]]));
  for (let round = 0; round < rounds; round++) for (const arm of arms) results.get(arm.name)?.push(await measure(arm));
  if (values.json) console.log(JSON.stringify({ load, rounds: Object.fromEntries(results) }));
  else report(results);
} finally {
  await Promise.all(arms.map((arm) => arm.stop()));
}
