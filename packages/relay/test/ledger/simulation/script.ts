/** A history as data: what is done in which order, and what goes wrong. The same seed gives the same script. */
import { drawFrom, drawInteger } from "../../../src/simulator/draw.ts";
import type { Draw } from "../../../src/simulator/draw.ts";
import { DAY_MS } from "../operations.ts";

/** What becomes of a batch on its way to the books and back. */
const FAULTS = [
  "none",
  /** The database says no: nothing is stored, and that is known. */
  "refused",
  /** The connection breaks before anything is stored, */
  "unsent",
  /** or after all of it is: nobody knows which. */
  "lost",
  /** Its answer is lost, and the store asks the same again at once. */
  "twice",
  /** It takes so long that requests give up, and is stored then. */
  "slow",
  "killed-before",
  "killed-after",
] as const;
export type Fault = (typeof FAULTS)[number];

const KINDS = [
  "ask",
  "work",
  "finish",
  "flush",
  "kill",
  "boot",
  "beat",
  "sweep",
  "catch_up",
  "wait",
  "credit",
  "adjust",
  "refund",
  "finish_refund",
  "set_budget",
  "expire",
  "again",
] as const;

/** Numbers mean something only where the step is done, so that any part of a script is a script. */
export interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly relay: number;
  readonly pick: number;
  readonly amount: number;
  readonly fault: Fault;
}

const WEIGHTS: Readonly<Record<Step["kind"], number>> = {
  ask: 20,
  work: 14,
  finish: 14,
  flush: 34,
  kill: 1,
  boot: 3,
  beat: 3,
  sweep: 3,
  catch_up: 4,
  wait: 5,
  credit: 5,
  adjust: 1,
  refund: 2,
  finish_refund: 2,
  set_budget: 1,
  expire: 1,
  again: 3,
};

const STEPS_MIN = 30;
const STEPS_MAX = 90;
/** A history without faults is dull, and one of nothing else comes to nothing. */
const FAULT_SHARES = [0, 0.1, 0.3, 0.6] as const;
const BAG: readonly Step["kind"][] = KINDS.flatMap((kind) => Array<Step["kind"]>(WEIGHTS[kind]).fill(kind));

export function scriptOf(seed: number): Step[] {
  const draw = drawFrom(seed, "history");
  const share = FAULT_SHARES[drawInteger(draw, 0, FAULT_SHARES.length - 1)] ?? 0;
  return Array.from({ length: drawInteger(draw, STEPS_MIN, STEPS_MAX) }, () => stepOf(draw, share));
}

function stepOf(draw: Draw, faultShare: number): Step {
  const kind = BAG[drawInteger(draw, 0, BAG.length - 1)] ?? "flush";
  const isFaulty = draw() < faultShare;
  const fault = FAULTS[isFaulty ? drawInteger(draw, 1, FAULTS.length - 1) : 0] ?? "none";
  const amount = kind === "wait" ? pauseOf(draw) : drawInteger(draw, 1, 200);
  return { kind, relay: drawInteger(draw, 0, 2), pick: drawInteger(draw, 0, 99_999), amount, fault };
}

/** Moments mostly, now and then past a lease, a window or an expiry, sometimes back. */
function pauseOf(draw: Draw): number {
  const kind = draw();
  if (kind < 0.5) return drawInteger(draw, 1, 5_000);
  if (kind < 0.8) return drawInteger(draw, 30_000, 120_000);
  if (kind < 0.95) return drawInteger(draw, DAY_MS / 4, 2 * DAY_MS);
  return -3_600_000;
}

/** One line for each step, to be read by people. */
export function shownScript(script: readonly Step[]): string {
  return script.map((step, at) => `${String(at).padStart(3)} ${JSON.stringify(step)}`).join("\n");
}

/**
 * The fewest steps that still fail: parts are left out for as long as that is so, large ones first.
 * @param fails asks a shorter script.
 */
export function shortest(script: readonly Step[], fails: (script: readonly Step[]) => boolean): readonly Step[] {
  let left = script;
  for (let size = left.length >> 1; size >= 1; size = size >> 1) {
    for (let from = 0; from < left.length;) {
      const without = [...left.slice(0, from), ...left.slice(from + size)];
      if (fails(without)) left = without;
      else from += size;
    }
  }
  return left;
}
