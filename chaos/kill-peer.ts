/**
 * Several relays on one database, and every account asks all of them. One of them dies while the others run on, now and then
 * all of them do; some are never started again, so that others must end their holds.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { drawInteger } from "../packages/relay/src/simulator/draw.ts";
import type { RelayProcess } from "../packages/relay/test/support/relay-process.ts";
import { assertAlive } from "./scene.ts";
import type { Scene } from "./scene.ts";

const RELAYS = 3;
/** In the first cycle of a round all die; in the next ones a relay dies for good. */
const ROUND = 60;
const FOR_GOOD = [2, 3];
/** How long a relay is dead before it, or another one, starts in its place. */
const ABSENT_MS = [0, 600] as const;
/**
 * The others take a relay for dead when its lease, of 30 s, is over, they themselves have had the database for as long, and
 * another 10 s have gone. They look every 10 s.
 */
const ENDED_WITHIN_MS = 80_000;

/** Kills one of the relays as often as there are cycles, and leaves all of them running. */
export async function killPeer(scene: Scene): Promise<void> {
  let homes = 0;
  const newHome = (): string => join(scene.place.dataDir, `relay-${++homes}`);
  for (let at = 1; at < RELAYS; at++) await scene.start(at, newHome());
  const { life, load } = scene.begin();
  for (let cycle = 1; cycle <= scene.plan.cycles; cycle++) {
    await scene.underLoad();
    const turn = cycle % ROUND;
    if (turn === 1) await killAll(scene);
    else await killOne(scene, FOR_GOOD.includes(turn) ? newHome() : null);
    scene.deaths.underLoad += 1;
    scene.report(cycle);
  }
  life.isOver = true;
  await load;
  await scene.untilSettled(ENDED_WITHIN_MS);
}

async function killAll(scene: Scene): Promise<void> {
  const deaths: Promise<void>[] = [];
  await scene.atSomeMoment(() => deaths.push(...scene.relays.map((relay) => scene.kill(relay))));
  await Promise.all(deaths);
  scene.deaths.ofAll += 1;
  for (let at = 0; at < RELAYS; at++) await scene.start(at);
}

/** The first relay is not killed: one must live long enough to declare another one dead. */
async function killOne(scene: Scene, newHome: string | null): Promise<void> {
  const at = drawInteger(scene.draw, 1, RELAYS - 1);
  const relay: RelayProcess | undefined = scene.relays[at];
  if (relay === undefined) throw new Error("there is no relay to kill");
  assertAlive(relay);
  const deaths: Promise<void>[] = [];
  await scene.atSomeMoment(() => void deaths.push(scene.kill(relay, newHome !== null)));
  await Promise.all(deaths);
  await sleep(drawInteger(scene.draw, ...ABSENT_MS));
  await scene.start(at, newHome ?? relay.dataDir);
}
