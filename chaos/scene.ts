/** The scene of a trial: it starts relays, sends them requests, kills them, and records what was seen meanwhile. */
import { setTimeout as sleep } from "node:timers/promises";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { drawFrom, drawInteger } from "../packages/relay/src/simulator/draw.ts";
import type { Draw } from "../packages/relay/src/simulator/draw.ts";
import { spawnRelay, startRelayProcess } from "../packages/relay/test/support/relay-process.ts";
import type { RelayProcess } from "../packages/relay/test/support/relay-process.ts";
import { Customers } from "./customers.ts";
import type { Life } from "./customers.ts";
import { MOMENTS } from "./moments.ts";
import type { Moments } from "./moments.ts";
import type { Finding } from "./claims.ts";
import { Owner } from "./owner.ts";
import type { Place } from "./place.ts";
import type { Death, Evidence } from "./records.ts";
import type { Deaths } from "./tally.ts";
import { PRICES, SLIDING } from "./tariff.ts";
import type { TrialPlan } from "./trial-plan.ts";
import type { Upstream } from "./upstream.ts";

const LOAD_MS = [250, 1_300] as const;
/** A kill waits this long for its moment. */
const MOMENT_WITHIN_MS = 400;
/** Half of those kills come later, by at most this much. */
const JITTER_MS = 4;
const PEACE_MS = 700;
const BACK_WITHIN_MS = 30_000;
/** The only relay that can use SQLite. */
const EMBEDDED = "embedded";

export class Scene {
  /** What was found to be wrong during the trial. */
  readonly findings: Finding[] = [];
  readonly deaths: Deaths = { underLoad: 0, ofAll: 0, slowed: 0, startingUp: 0, inOutage: 0 };
  readonly place: Place;
  readonly plan: TrialPlan;
  readonly draw: Draw;
  /** The relays that run, and for each place the last one that died. */
  readonly relays: RelayProcess[] = [];
  readonly #moments: Moments;
  readonly #upstream: Upstream;
  readonly #owner: Owner;
  readonly #config: object;
  readonly #died: Death[] = [];
  #customers: Customers | null = null;
  #startMs = 0;

  constructor(place: Place, plan: TrialPlan, upstream: Upstream, moments: Moments) {
    this.place = place;
    this.plan = plan;
    this.draw = drawFrom(plan.seed, "trial");
    this.#moments = moments;
    this.#upstream = upstream;
    this.#owner = new Owner(moments);
    this.#config = configOf(place, upstream.url);
  }

  get evidence(): Evidence {
    return { asked: this.#customers?.asked ?? [], calls: this.#upstream.calls, credits: this.#owner.credits, deaths: this.#died };
  }

  /** Starts the first relay, and makes the accounts of those who will ask. */
  async open(): Promise<void> {
    this.#customers = new Customers(await this.#owner.open(await this.start()), this.plan.seed, this.#moments);
  }

  /** Ends every process of the trial. */
  async end(): Promise<void> {
    for (const relay of this.relays.filter(isAlive)) await relay.close();
  }

  /** The only relay of a trial that has one. */
  async theRelay(): Promise<RelayProcess> {
    const [relay] = this.relays;
    return relay !== undefined && isAlive(relay) ? relay : await this.start();
  }

  /**
   * Starts a relay on what the last one in this place left, or on a directory that is new.
   * Nothing of an earlier life may be held then; where no other relay is, nothing at all.
   */
  async start(at = 0, dataDir: string = this.relays[at]?.dataDir ?? this.place.dataDir): Promise<RelayProcess> {
    mkdirSync(dataDir, { recursive: true });
    const startedAt = performance.now();
    const relay = await startRelayProcess(this.#config, { dataDir });
    this.#startMs = performance.now() - startedAt;
    this.relays[at] = relay;
    for (const id of await this.openHolds(this.plan.kill === "peer" ? OF_EARLIER_LIVES : ""))
      this.findings.push({ claim: "left open", says: `hold ${id} is open after a start` });
    return relay;
  }

  /** Ids of holds that are open. */
  async openHolds(where = ""): Promise<string[]> {
    return (await this.place.query(`SELECT id FROM holds WHERE state = 'open' ${where}`)).map((row) => String(row["id"]));
  }

  /** Kills a relay and reads its last output. @param isForGood The trial never starts it again. */
  async kill(relay: RelayProcess, isForGood = false): Promise<void> {
    relay.child.kill("SIGKILL");
    const node = this.place.store === "sqlite" ? EMBEDDED : readFileSync(join(relay.dataDir, "node"), "utf8").trim();
    this.#died.push({ node, at: Date.now(), isForGood });
    await this.#bury(relay);
  }

  async #bury(relay: RelayProcess): Promise<void> {
    await relay.exited;
    const [bug] = /^.*bug in .*$/m.exec(relay.output()) ?? [];
    if (bug !== undefined) this.findings.push({ claim: "bug", says: bug });
  }

  /** Requests and credits, until the returned life is over; its load ends with its last answer. */
  begin(): { readonly life: Life; readonly load: Promise<unknown> } {
    const life: Life = { relays: this.relays, isOver: false };
    return { life, load: Promise.all([this.#customers?.live(life), this.#owner.live(life)]) };
  }

  /** Long enough that there is something to lose. */
  async underLoad(): Promise<void> {
    await sleep(drawInteger(this.draw, ...LOAD_MS));
  }

  /** Kills now, or at one of the moments of `moments.ts`. */
  async atSomeMoment(act: () => void): Promise<void> {
    const moment = [null, ...MOMENTS][drawInteger(this.draw, 0, MOMENTS.length)] ?? null;
    if (moment === null) act();
    else await this.#moments.at(moment, Math.max(0, drawInteger(this.draw, -JITTER_MS, JITTER_MS)), MOMENT_WITHIN_MS, act);
  }

  /** Kills the next relay of the place before it listens. */
  async killWhileStarting(): Promise<void> {
    const started = await spawnRelay(this.#config, this.place.dataDir);
    await sleep(this.#startMs * (0.2 + 0.7 * this.draw()));
    const hadStarted = started.output().includes("listening on");
    started.child.kill("SIGKILL");
    await started.exited;
    if (!hadStarted) this.deaths.startingUp += 1;
  }

  /** An account that pays is answered again. */
  async untilMoneyMoves(): Promise<void> {
    const asked = this.#customers?.asked ?? [];
    const before = asked.length;
    const isBack = (): boolean => asked.slice(before).some((one) => one.isMetered && one.ending === "whole");
    if (!(await until(BACK_WITHIN_MS, isBack))) throw new Error("accounts that pay were not answered after the database was back");
  }

  /** Without a restart too, all holds end, and what was put aside is stored. */
  async untilSettled(withinMs: number): Promise<void> {
    const isSpoolEmpty = (): boolean =>
      this.relays.every(({ dataDir }) => ["spool", "spool.taken"].every((name) => !existsSync(join(dataDir, name))));
    if (await until(withinMs, async () => isSpoolEmpty() && (await this.openHolds()).length === 0)) return;
    const says = (what: string): string => `${what} ${withinMs / 1_000} s after the last request`;
    if (!isSpoolEmpty()) this.findings.push({ claim: "left open", says: says("a settlement is in a spool file") });
    for (const id of await this.openHolds()) this.findings.push({ claim: "left open", says: says(`hold ${id} is open`) });
  }

  /** Starts the relays a last time and kills none: everything works as if nothing had happened. */
  async endInPeace(): Promise<void> {
    const { life, load } = this.begin();
    await sleep(PEACE_MS);
    life.isOver = true;
    await load;
    for (const relay of this.relays) relay.child.kill("SIGTERM");
    for (const relay of this.relays) {
      const code = await relay.exited;
      await this.#bury(relay);
      if (code !== 0) throw new Error(`the relay ended with ${code} when it was asked to stop: ${relay.output().slice(-2_000)}`);
    }
  }

  report(cycle: number): void {
    const asked = this.#customers?.asked.length ?? 0;
    const trouble = this.findings.length === 0 ? "" : `, ${this.findings.length} findings`;
    this.plan.say(`${this.place.store}, kill ${this.plan.kill}: cycle ${cycle} of ${this.plan.cycles}, ${asked} requests${trouble}`);
  }
}

const OF_EARLIER_LIVES = "AND epoch < (SELECT epoch FROM nodes WHERE nodes.id = holds.node)";

/** Two upstreams in turn, which are the same, so that a failure before any output has somewhere to go. */
function configOf(place: Place, url: string): object {
  const upstream = { provider: "openai-compatible", base_url: url };
  const models = Object.entries(PRICES).map(([name, price]) => [
    name,
    { upstreams: ["a", "b"].map((each) => ({ upstream: each, model: name })), price, hold: name === SLIDING ? "sliding" : "full" },
  ]);
  return { ...place.config, upstreams: { a: upstream, b: upstream }, models: Object.fromEntries(models) as object };
}

function isAlive({ child }: RelayProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** @throws when the relay ended although the trial did not kill it. */
export function assertAlive(relay: RelayProcess): void {
  const { exitCode, signalCode } = relay.child;
  if (!isAlive(relay)) throw new Error(`the relay ended by itself with ${exitCode ?? signalCode}: ${relay.output().slice(-2_000)}`);
}

async function until(withinMs: number, isTrue: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  while (!(await isTrue())) {
    if (performance.now() > deadline) return false;
    await sleep(50);
  }
  return true;
}
