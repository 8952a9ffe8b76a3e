/** One trial: sends requests to relays, kills them or kills or slows their database again and again, then judges what is true. */
import { readBooks } from "./books.ts";
import type { Books } from "./books.ts";
import { killDatabase } from "./kill-database.ts";
import { killPeer } from "./kill-peer.ts";
import { killRelay } from "./kill-relay.ts";
import { Moments } from "./moments.ts";
import { judge } from "./oracle.ts";
import type { Finding } from "./claims.ts";
import type { Place, StoreName } from "./place.ts";
import type { Evidence } from "./records.ts";
import { Scene } from "./scene.ts";
import { slowDatabase } from "./slow-database.ts";
import { missing, tallyOf } from "./tally.ts";
import type { Tally } from "./tally.ts";
import type { Kill, TrialPlan } from "./trial-plan.ts";
import { startUpstream } from "./upstream.ts";

export interface Verdict {
  readonly store: StoreName;
  readonly kill: Kill;
  readonly cycles: number;
  readonly seed: number;
  readonly seconds: number;
  readonly tally: Tally;
  readonly findings: readonly Finding[];
  /** What did not happen often enough. If this is not empty, the trial proves nothing. */
  readonly missing: readonly string[];
}

const ACTS: Readonly<Record<Kill, (scene: Scene) => Promise<void>>> = {
  relay: killRelay,
  database: killDatabase,
  peer: killPeer,
  none: slowDatabase,
};

/** Runs a trial on a place of its own, and returns its records and the books with the verdict. */
export async function runTrial(place: Place, plan: TrialPlan): Promise<{ verdict: Verdict; evidence: Evidence; books: Books }> {
  const startedAt = performance.now();
  const moments = new Moments();
  const upstream = await startUpstream(plan.seed, moments);
  const scene = new Scene(place, plan, upstream, moments);
  try {
    await scene.open();
    await ACTS[plan.kill](scene);
    await scene.endInPeace();
    const books = await readBooks(place.query);
    const { evidence } = scene;
    const breaches = await place.audit();
    const findings = [
      ...scene.findings,
      ...judge(evidence, books),
      ...breaches.map(({ claim, ids }): Finding => ({ claim: "audit", says: `${claim}: ${ids.join(", ")}` })),
    ];
    const tally = tallyOf(evidence, books, scene.deaths);
    const { kill, cycles, seed } = plan;
    const seconds = Math.round((performance.now() - startedAt) / 1_000);
    const verdict = { store: place.store, kill, cycles, seed, seconds, tally, findings, missing: missing(tally, kill, cycles) };
    return { verdict, evidence, books };
  } finally {
    await scene.end();
    await upstream.close();
  }
}
