/** How much happened in a trial, so that a reader sees that its verdict was not cheap, and what must have happened at least. */
import type { Books } from "./books.ts";
import type { Evidence } from "./oracle.ts";
import type { Kill } from "./trial.ts";

export interface Deaths {
  /** Of the relay, or of the database under it, while requests ran. */
  readonly underLoad: number;
  /** Of the relay before it listened. */
  readonly startingUp: number;
  /** Of the relay while its database was dead. */
  readonly inOutage: number;
}

export type Tally = Readonly<Record<string, number>>;

export function tallyOf({ asked, calls, credits }: Evidence, books: Books, deaths: Deaths): Tally {
  const whole = asked.filter(({ ending }) => ending === "whole");
  const holds = (state: string): Books["holds"] => books.holds.filter((hold) => hold.state === state);
  const refused = (code: string): number => asked.filter((one) => one.ending === "refused" && one.code === code).length;
  return {
    "kills under load": deaths.underLoad,
    "kills while starting": deaths.startingUp,
    "kills of the relay in an outage": deaths.inOutage,
    "requests sent": asked.length,
    "streams whole": whole.filter(({ isStream }) => isStream).length,
    "plain answers whole": whole.filter(({ isStream }) => !isStream).length,
    "whole and not metered": whole.filter(({ isMetered }) => !isMetered).length,
    "cut in the middle by a death": asked.filter((one) => one.ending === "cut" && !one.hasLeft && one.status !== null).length,
    "cut before the answer began": asked.filter((one) => one.ending === "cut" && !one.hasLeft && one.status === null).length,
    "clients that left": asked.filter(({ hasLeft }) => hasLeft).length,
    "streams ended by an error": asked.filter(({ ending }) => ending === "broken").length,
    "streams ended by store_unavailable": asked.filter((one) => one.ending === "broken" && one.code === "store_unavailable").length,
    "refused: insufficient_credits": refused("insufficient_credits"),
    "refused: store_unavailable": refused("store_unavailable"),
    "upstream calls": calls.length,
    "upstream calls with a fault": calls.filter(({ fault }) => fault !== null).length,
    "upstream calls without usage": calls.filter(({ reportsUsage }) => !reportsUsage).length,
    "second tries at an upstream": calls.length - new Set(calls.map(({ number }) => number)).size,
    "holds settled, exact": holds("settled").filter(({ basis }) => basis === "exact").length,
    "holds settled, estimated": holds("settled").filter(({ basis }) => basis === "estimated").length,
    "holds voided": holds("voided").length,
    "holds recovered": holds("recovered").length,
    "holds recovered at a checkpoint": holds("recovered").filter(({ charged }) => (charged ?? 0n) > 0n).length,
    "credits confirmed": credits.filter(({ isConfirmed }) => isConfirmed).length,
    "credits asked for again": credits.filter(({ tries }) => tries > 1).length,
  };
}

/** Where fewer were seen than this, the trial has proved nothing. */
export function missing(tally: Tally, kill: Kill, cycles: number): string[] {
  return Object.entries(leastOf(kill, cycles))
    .filter(([name, least]) => (tally[name] ?? 0) < least)
    .map(([name, least]) => `${name}: ${tally[name] ?? 0}, which is less than ${least}`);
}

function leastOf(kill: Kill, cycles: number): Tally {
  const always = {
    "kills under load": cycles,
    "streams whole": 5 * cycles,
    "plain answers whole": cycles,
    "whole and not metered": cycles,
    "clients that left": cycles,
    "streams ended by an error": 1,
    "upstream calls with a fault": cycles,
    "upstream calls without usage": cycles,
    "second tries at an upstream": 1,
    "holds settled, exact": 5 * cycles,
    "holds settled, estimated": cycles,
    "holds voided": 1,
    "credits confirmed": cycles,
  };
  if (kill === "database")
    return {
      ...always,
      "kills of the relay in an outage": Math.floor(cycles / 3),
      "streams ended by store_unavailable": 1,
      "refused: store_unavailable": 1,
    };
  return {
    ...always,
    "kills while starting": Math.floor(cycles / 6),
    "cut in the middle by a death": cycles,
    "cut before the answer began": Math.ceil(cycles / 2),
    "refused: insufficient_credits": 1,
    "holds recovered": cycles,
    "holds recovered at a checkpoint": 1,
  };
}
