/** One trial: a relay under requests, killed or with its database killed, again and again, and what is true afterwards. */
import { drawFrom, drawInteger } from "../packages/relay/src/simulator/draw.ts";
import type { Draw } from "../packages/relay/src/simulator/draw.ts";
import { spawnRelay, startRelayProcess } from "../packages/relay/test/support/relay-process.ts";
import type { RelayProcess } from "../packages/relay/test/support/relay-process.ts";
import type { TestPostgres } from "../packages/relay/test/support/postgres.ts";
import { readBooks } from "./books.ts";
import type { Books } from "./books.ts";
import { Customers } from "./customers.ts";
import type { Life } from "./customers.ts";
import { MOMENTS, Moments } from "./moments.ts";
import { judge } from "./oracle.ts";
import type { Finding } from "./oracle.ts";
import { Owner } from "./owner.ts";
import type { Place, StoreName } from "./place.ts";
import type { Evidence } from "./records.ts";
import { missing, tallyOf } from "./tally.ts";
import type { Deaths, Tally } from "./tally.ts";
import { PRICES, SLIDING } from "./tariff.ts";
import { startUpstream } from "./upstream.ts";
import type { Upstream } from "./upstream.ts";

export type Kill = "relay" | "database";

export interface Wish {
  readonly kill: Kill;
  readonly cycles: number;
  readonly seed: number;
  /** Told how far it is. */
  readonly say: (line: string) => void;
}

export interface Verdict {
  readonly store: StoreName;
  readonly kill: Kill;
  readonly cycles: number;
  readonly seed: number;
  readonly seconds: number;
  readonly tally: Tally;
  readonly findings: readonly Finding[];
  /** What did not happen often enough for the rest to mean something. */
  readonly missing: readonly string[];
}

/** Every so many cycles the relay is killed once more before it listens. */
const STARTS_KILLED_EVERY = 3;
const LOAD_MS = [250, 1_300] as const;
/** A kill waits so long for the moment it was meant for. */
const MOMENT_WITHIN_MS = 400;
/** Below and above the two seconds after which a settlement is put aside. */
const OUTAGE_MS = [100, 3_500] as const;
/** Every so many outages the relay dies in one. */
const OUTAGES_KILLED_EVERY = 3;
/** Half of those kills come so much later at most. */
const JITTER_MS = 4;
const PEACE_MS = 700;
/** What was put aside is stored every ten seconds. */
const SETTLED_WITHIN_MS = 30_000;
const BACK_WITHIN_MS = 30_000;

/** Runs a trial on a place of its own. Its records and the books stay for who wants to look at them. */
export async function runTrial(place: Place, wish: Wish): Promise<{ verdict: Verdict; evidence: Evidence; books: Books }> {
  const startedAt = performance.now();
  const moments = new Moments();
  const upstream = await startUpstream(wish.seed, moments);
  const trial = new Trial(place, wish, upstream, moments);
  try {
    await trial.run();
    const books = await readBooks(place.query);
    const evidence = trial.evidence;
    const breaches = await place.audit();
    const findings = [
      ...trial.findings,
      ...judge(evidence, books),
      ...breaches.map(({ claim, ids }): Finding => ({ claim: "audit", says: `${claim}: ${ids.join(", ")}` })),
    ];
    const tally = tallyOf(evidence, books, trial.deaths);
    const { kill, cycles, seed } = wish;
    const seconds = Math.round((performance.now() - startedAt) / 1_000);
    const verdict = { store: place.store, kill, cycles, seed, seconds, tally, findings, missing: missing(tally, kill, cycles) };
    return { verdict, evidence, books };
  } finally {
    await trial.end();
    await upstream.close();
  }
}

class Trial {
  /** What was seen to be wrong while it ran. */
  readonly findings: Finding[] = [];
  readonly #place: Place;
  readonly #wish: Wish;
  readonly #moments: Moments;
  readonly #upstream: Upstream;
  readonly #draw: Draw;
  readonly #owner: Owner;
  readonly #config: object;
  #customers: Customers | null = null;
  #relay: RelayProcess | null = null;
  #startMs = 0;
  #deaths: Deaths = { underLoad: 0, startingUp: 0, inOutage: 0 };

  constructor(place: Place, wish: Wish, upstream: Upstream, moments: Moments) {
    this.#place = place;
    this.#wish = wish;
    this.#moments = moments;
    this.#upstream = upstream;
    this.#draw = drawFrom(wish.seed, "trial");
    this.#owner = new Owner(moments);
    this.#config = configOf(place, upstream.url);
  }

  get evidence(): Evidence {
    return { asked: this.#customers?.asked ?? [], calls: this.#upstream.calls, credits: this.#owner.credits };
  }

  get deaths(): Deaths {
    return this.#deaths;
  }

  async run(): Promise<void> {
    const relay = await this.#start();
    this.#customers = new Customers(await this.#owner.open(relay), this.#wish.seed, this.#moments);
    await (this.#wish.kill === "relay" ? this.#killRelays() : this.#killDatabases());
    await this.#endInPeace();
  }

  /** Leaves no process. */
  async end(): Promise<void> {
    await this.#relay?.close();
  }

  async #killRelays(): Promise<void> {
    for (let cycle = 1; cycle <= this.#wish.cycles; cycle++) {
      const relay = this.#relay ?? (await this.#start());
      await this.#killUnderLoad(relay);
      if (cycle % STARTS_KILLED_EVERY === 0) await this.#killWhileStarting();
      this.#report(cycle);
    }
    await this.#start();
  }

  /** Starts a relay on what the last one left: nothing may be held then, for nothing runs. */
  async #start(): Promise<RelayProcess> {
    const startedAt = performance.now();
    this.#relay = await startRelayProcess(this.#config, { dataDir: this.#place.dataDir });
    this.#startMs = performance.now() - startedAt;
    for (const id of await this.#openHolds()) this.findings.push({ claim: "left open", says: `hold ${id} is open after a start` });
    return this.#relay;
  }

  /** Reads what it said last. */
  async #bury(relay: RelayProcess): Promise<void> {
    await relay.exited;
    this.#relay = null;
    const [bug] = /^.*bug in .*$/m.exec(relay.output()) ?? [];
    if (bug !== undefined) this.findings.push({ claim: "bug", says: bug });
  }

  async #openHolds(): Promise<string[]> {
    return (await this.#place.query("SELECT id FROM holds WHERE state = 'open'")).map((row) => String(row["id"]));
  }

  async #killUnderLoad(relay: RelayProcess): Promise<void> {
    const life: Life = { relays: [relay], isOver: false };
    const load = this.#load(life);
    await sleep(drawInteger(this.#draw, ...LOAD_MS));
    assertAlive(relay);
    await this.#atSomeMoment(() => {
      relay.child.kill("SIGKILL");
      life.isOver = true;
    });
    await this.#bury(relay);
    await load;
    this.#deaths = { ...this.#deaths, underLoad: this.#deaths.underLoad + 1 };
  }

  async #load(life: Life): Promise<void> {
    await Promise.all([this.#customers?.live(life), this.#owner.live(life)]);
  }

  /** Now, or at one of the moments at which most is at stake. */
  async #atSomeMoment(act: () => void): Promise<void> {
    const moment = [null, ...MOMENTS][drawInteger(this.#draw, 0, MOMENTS.length)] ?? null;
    if (moment === null) act();
    else await this.#moments.at(moment, Math.max(0, drawInteger(this.#draw, -JITTER_MS, JITTER_MS)), MOMENT_WITHIN_MS, act);
  }

  async #killWhileStarting(): Promise<void> {
    const started = await spawnRelay(this.#config, this.#place.dataDir);
    await sleep(this.#startMs * (0.2 + 0.7 * this.#draw()));
    const hadStarted = started.output().includes("listening on");
    started.child.kill("SIGKILL");
    await started.exited;
    if (!hadStarted) this.#deaths = { ...this.#deaths, startingUp: this.#deaths.startingUp + 1 };
  }

  async #killDatabases(): Promise<void> {
    const { server } = this.#place;
    if (server === null) throw new Error("there is no database server to kill");
    for (let cycle = 1; cycle <= this.#wish.cycles; cycle++) {
      await this.#killDatabase(server, this.#relay ?? (await this.#start()), cycle % OUTAGES_KILLED_EVERY === 0);
      this.#report(cycle);
    }
    const relay = this.#relay ?? (await this.#start());
    await this.#untilSettled();
    relay.child.kill("SIGKILL");
    await this.#bury(relay);
    await this.#start();
  }

  /** The relay lives through it, or dies in it too and finds on its disk what it could not store. */
  async #killDatabase(server: TestPostgres, relay: RelayProcess, isRelayKilled: boolean): Promise<void> {
    const life: Life = { relays: [relay], isOver: false };
    const load = this.#load(life);
    await sleep(drawInteger(this.#draw, ...LOAD_MS));
    assertAlive(relay);
    const deaths: Promise<() => Promise<void>>[] = [];
    await this.#atSomeMoment(() => void deaths.push(server.kill("SIGKILL")));
    const revivals = await Promise.all(deaths);
    await sleep(drawInteger(this.#draw, ...OUTAGE_MS));
    if (isRelayKilled) await this.#killInOutage(life, relay);
    for (const revive of revivals) await revive();
    this.#deaths = { ...this.#deaths, underLoad: this.#deaths.underLoad + 1 };
    await (isRelayKilled ? this.#killWhileStarting() : this.#untilMoneyMoves());
    life.isOver = true;
    await load;
  }

  async #killInOutage(life: Life, relay: RelayProcess): Promise<void> {
    assertAlive(relay);
    relay.child.kill("SIGKILL");
    life.isOver = true;
    await this.#bury(relay);
    this.#deaths = { ...this.#deaths, inOutage: this.#deaths.inOutage + 1 };
  }

  /** An account that pays is answered again. */
  async #untilMoneyMoves(): Promise<void> {
    const asked = this.#customers?.asked ?? [];
    const before = asked.length;
    const isBack = (): boolean => asked.slice(before).some((one) => one.isMetered && one.ending === "whole");
    if (!(await until(BACK_WITHIN_MS, isBack))) throw new Error("accounts that pay were not answered after the database was back");
  }

  /** Without a restart too, what was put aside while there was no database is settled in the end. */
  async #untilSettled(): Promise<void> {
    await until(SETTLED_WITHIN_MS, async () => (await this.#openHolds()).length === 0);
    for (const id of await this.#openHolds())
      this.findings.push({ claim: "left open", says: `hold ${id} is open ${SETTLED_WITHIN_MS / 1_000} s after the last request` });
  }

  /** A last life that nobody kills: all works as if nothing had been. */
  async #endInPeace(): Promise<void> {
    const relay = this.#relay ?? (await this.#start());
    const life: Life = { relays: [relay], isOver: false };
    const load = this.#load(life);
    await sleep(PEACE_MS);
    life.isOver = true;
    await load;
    relay.child.kill("SIGTERM");
    const code = await relay.exited;
    await this.#bury(relay);
    if (code !== 0) throw new Error(`the relay ended with ${code} when it was asked to stop: ${relay.output().slice(-2_000)}`);
  }

  #report(cycle: number): void {
    const asked = this.#customers?.asked.length ?? 0;
    const trouble = this.findings.length === 0 ? "" : `, ${this.findings.length} findings`;
    this.#wish.say(`${this.#place.store}, kill ${this.#wish.kill}: cycle ${cycle} of ${this.#wish.cycles}, ${asked} requests${trouble}`);
  }
}

/** Two upstreams in turn, which are the same, so that a failure before any output has somewhere to go. */
function configOf(place: Place, url: string): object {
  const upstream = { provider: "openai-compatible", base_url: url };
  const models = Object.entries(PRICES).map(([name, price]) => [
    name,
    { upstreams: ["a", "b"].map((each) => ({ upstream: each, model: name })), price, hold: name === SLIDING ? "sliding" : "full" },
  ]);
  return { ...place.config, upstreams: { a: upstream, b: upstream }, models: Object.fromEntries(models) as object };
}

function assertAlive(relay: RelayProcess): void {
  const { exitCode, signalCode } = relay.child;
  if (exitCode !== null || signalCode !== null)
    throw new Error(`the relay ended by itself with ${exitCode ?? signalCode}: ${relay.output().slice(-2_000)}`);
}

async function until(withinMs: number, isTrue: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!(await isTrue())) {
    if (performance.now() > deadline) return false;
    await sleep(50);
  }
  return true;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
