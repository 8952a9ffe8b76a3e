/**
 * `npm run chaos`: money is exact whatever dies. Relays serve accounts that pay while one of them is killed, or the database
 * under it is, or is slow, and afterwards the books are judged by what the clients and the upstream saw.
 * `--store sqlite|postgres --kill relay|database|peer|none --cycles N --long --seed N --json`
 */
import { errorStack } from "../packages/relay/src/basics/error-text.ts";
import "../packages/relay/bin/runtime.js";
import "../scripts/strip.js";
import { parseArgs } from "node:util";
import { postgresBinaries } from "../packages/relay/test/support/postgres.ts";
import { CLAIMS } from "./claims.ts";
import { openPlace } from "./place.ts";
import type { StoreName } from "./place.ts";
import { runTrial } from "./trial.ts";
import type { Verdict } from "./trial.ts";
import type { Kill } from "./trial-plan.ts";

interface Planned {
  readonly store: StoreName;
  readonly kill: Kill;
  /** Without `--cycles` and `--long`. */
  readonly cycles: number;
}

/** Side by side, and in each of them one after the other. */
const LANES: readonly (readonly Planned[])[] = [
  [
    { store: "sqlite", kill: "relay", cycles: 12 },
    { store: "postgres", kill: "relay", cycles: 12 },
    { store: "postgres", kill: "database", cycles: 6 },
    { store: "sqlite", kill: "none", cycles: 3 },
  ],
  // The first of them mostly waits until the others take a relay for dead.
  [
    { store: "postgres", kill: "peer", cycles: 6 },
    { store: "postgres", kill: "none", cycles: 4 },
  ],
];
const CYCLES_LONG = 300;
const SEED_MAX = 1_000_000;
const FINDINGS_SHOWN = 20;

const { values } = parseArgs({
  options: {
    store: { type: "string" },
    kill: { type: "string" },
    cycles: { type: "string" },
    long: { type: "boolean", default: false },
    seed: { type: "string" },
    json: { type: "boolean", default: false },
  },
});

/** A whole number from 1, or what is meant when nothing is said. */
function countOf(flag: "cycles" | "seed", otherwise: number): number {
  const text = values[flag];
  if (text === undefined) return otherwise;
  if (!/^[1-9]\d{0,8}$/.test(text)) refuse(`--${flag} takes a whole number from 1`);
  return Number(text);
}

function refuse(sentence: string): never {
  console.error(sentence);
  process.exit(2);
}

function isGood(verdict: Verdict): boolean {
  return verdict.findings.length === 0 && verdict.missing.length === 0;
}

function report(verdict: Verdict): void {
  const { store, kill, cycles, seed, seconds, tally, findings } = verdict;
  console.log(`\n${store}, kill ${kill}: ${cycles} cycles, seed ${seed}, ${seconds} s`);
  for (const [name, count] of Object.entries(tally)) console.log(`  ${String(count).padStart(7)}  ${name}`);
  for (const claim of Object.keys(CLAIMS)) {
    const count = findings.filter((finding) => finding.claim === claim).length;
    console.log(`  ${String(count).padStart(7)}  ${claim.toUpperCase()}${count === 0 ? "" : `: ${CLAIMS[claim as keyof typeof CLAIMS]}`}`);
  }
  for (const { claim, says } of findings.slice(0, FINDINGS_SHOWN)) console.log(`  ${claim.toUpperCase()}: ${says}`);
  if (findings.length > FINDINGS_SHOWN) console.log(`  and ${findings.length - FINDINGS_SHOWN} more`);
  for (const lack of verdict.missing) console.log(`  PROVES NOTHING: ${lack}`);
}

function isMeant({ store, kill }: Planned): boolean {
  return (values.store === undefined || values.store === store) && (values.kill === undefined || values.kill === kill);
}

// Ended by a signal, it still takes its processes with it.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const lanes = LANES.map((lane) => lane.filter(isMeant));
if (lanes.flat().length === 0) {
  const kills = "--kill is relay, database, peer (one of several relays) or none (the database is slow)";
  refuse(`--store is sqlite or postgres; ${kills}; SQLite has no server to kill, and one relay`);
}
const hasPostgres = postgresBinaries() !== null;
const seed = countOf("seed", 1 + Math.floor(Math.random() * SEED_MAX));
const verdicts: Verdict[] = [];
const notRun: string[] = [];
let isBroken = false;

async function run({ store, kill, cycles }: Planned): Promise<void> {
  const place = await openPlace(store, { isSlow: kill === "none" });
  try {
    const say = (line: string): void => console.error(line);
    const plan = { kill, cycles: countOf("cycles", values.long ? CYCLES_LONG : cycles), seed, say };
    const { verdict } = await runTrial(place, plan);
    verdicts.push(verdict);
    if (!values.json) report(verdict);
  } catch (error) {
    isBroken = true;
    console.error(`${store}, kill ${kill}: ${errorStack(error)}`);
  } finally {
    await place.close();
  }
}

async function runLane(lane: readonly Planned[]): Promise<void> {
  for (const trial of lane) {
    if (trial.store === "postgres" && !hasPostgres) notRun.push(`${trial.store}, kill ${trial.kill}`);
    else await run(trial);
  }
}

await Promise.all(lanes.map(runLane));
if (notRun.length > 0)
  console.error(`NOT RUN: ${notRun.join("; ")}: initdb and postgres are not installed (Debian: apt-get install postgresql)`);
const isProved = !isBroken && verdicts.length > 0 && verdicts.every(isGood) && (notRun.length === 0 || process.env["CI"] !== "true");
if (values.json) console.log(JSON.stringify({ isProved, notRun, verdicts }));
else console.log(isProved ? "\nchaos: money was exact" : `\nchaos: FAILED, seed ${seed}`);
process.exitCode = isProved ? 0 : 1;
