/** Kills the database under the relay. The relay survives, or dies too and then finds on its disk what it could not store. */
import { setTimeout as sleep } from "node:timers/promises";
import { drawInteger } from "../packages/relay/src/simulator/draw.ts";
import type { TestPostgres } from "../packages/relay/test/support/postgres.ts";
import { assertAlive } from "./scene.ts";
import type { Scene } from "./scene.ts";

/** Below and above the two seconds after which a settlement is put aside. */
const OUTAGE_MS = [100, 3_500] as const;
/** Once in this many outages the trial kills the relay too. */
const OUTAGES_KILLED_EVERY = 3;
/** What was put aside is stored every ten seconds. */
const SETTLED_WITHIN_MS = 30_000;

/** Kills the database as often as there are cycles, and leaves a relay that runs. */
export async function killDatabase(scene: Scene): Promise<void> {
  const { server } = scene.place;
  if (server === null) throw new Error("there is no database server to kill");
  for (let cycle = 1; cycle <= scene.plan.cycles; cycle++) {
    await killOnce(scene, server, cycle % OUTAGES_KILLED_EVERY === 0);
    scene.report(cycle);
  }
  const relay = await scene.theRelay();
  await scene.untilSettled(SETTLED_WITHIN_MS);
  await scene.kill(relay);
  await scene.start();
}

async function killOnce(scene: Scene, server: TestPostgres, isRelayKilled: boolean): Promise<void> {
  const relay = await scene.theRelay();
  const { life, load } = scene.begin();
  await scene.underLoad();
  assertAlive(relay);
  const deaths: Promise<() => Promise<void>>[] = [];
  await scene.atSomeMoment(() => void deaths.push(server.kill("SIGKILL")));
  const revivals = await Promise.all(deaths);
  await sleep(drawInteger(scene.draw, ...OUTAGE_MS));
  if (isRelayKilled) {
    assertAlive(relay);
    life.isOver = true;
    await scene.kill(relay);
    scene.deaths.inOutage += 1;
  }
  for (const revive of revivals) await revive();
  scene.deaths.underLoad += 1;
  await (isRelayKilled ? scene.killWhileStarting() : scene.untilMoneyMoves());
  life.isOver = true;
  await load;
}
