/** Kills the relay under requests again and again, and now and then once more while it starts. */
import { assertAlive } from "./scene.ts";
import type { Scene } from "./scene.ts";

/** Once in this many cycles the trial kills the relay a second time, before it listens. */
const STARTS_KILLED_EVERY = 3;

/** Kills the relay as often as there are cycles, and leaves one that runs. */
export async function killRelay(scene: Scene): Promise<void> {
  for (let cycle = 1; cycle <= scene.plan.cycles; cycle++) {
    const relay = await scene.theRelay();
    const { life, load } = scene.begin();
    await scene.underLoad();
    assertAlive(relay);
    const deaths: Promise<void>[] = [];
    await scene.atSomeMoment(() => {
      deaths.push(scene.kill(relay));
      life.isOver = true;
    });
    await Promise.all([...deaths, load]);
    scene.deaths.underLoad += 1;
    if (cycle % STARTS_KILLED_EVERY === 0) await scene.killWhileStarting();
    scene.report(cycle);
  }
  await scene.start();
}
