/**
 * Makes the database slow: its answers come late, or for seconds not at all. So the relay puts settlements aside, and the database
 * may or may not have stored them by then. Now and then the trial kills the relay meanwhile.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { drawInteger } from "../packages/relay/src/simulator/draw.ts";
import { assertAlive } from "./scene.ts";
import type { Scene } from "./scene.ts";

/** Around the two seconds after which a settlement is put aside, and the three after which a connection is given up. */
const STALL_MS = [300, 6_000] as const;
/** Of each step, there and back: a settlement takes several. */
const DELAY_MS = [50, 400] as const;
const DELAYED_MS = [2_500, 5_000] as const;
/** Once in this many cycles the trial kills the relay. */
const KILLED_EVERY = 3;
const SETTLED_WITHIN_MS = 30_000;

/** Makes the database slow as often as there are cycles, and leaves a relay that runs. */
export async function slowDatabase(scene: Scene): Promise<void> {
  for (let cycle = 1; cycle <= scene.plan.cycles; cycle++) {
    await slowOnce(scene, cycle % 2 === 0, cycle % KILLED_EVERY === 0);
    scene.report(cycle);
  }
  const relay = await scene.theRelay();
  await scene.untilSettled(SETTLED_WITHIN_MS);
  await scene.kill(relay);
  await scene.start();
}

async function slowOnce(scene: Scene, isDelay: boolean, isRelayKilled: boolean): Promise<void> {
  const relay = await scene.theRelay();
  const { life, load } = scene.begin();
  await scene.underLoad();
  assertAlive(relay);
  const ends: (() => void)[] = [];
  await scene.atSomeMoment(() => void ends.push(scene.place.slow(isDelay ? drawInteger(scene.draw, ...DELAY_MS) : null)));
  const [least, most] = isDelay ? DELAYED_MS : STALL_MS;
  await sleep(drawInteger(scene.draw, least, most));
  assertAlive(relay);
  if (isRelayKilled) {
    life.isOver = true;
    await scene.kill(relay);
    scene.deaths.inOutage += 1;
  }
  for (const end of ends) end();
  scene.deaths.slowed += 1;
  if (!isRelayKilled) await scene.untilMoneyMoves();
  life.isOver = true;
  await load;
}
