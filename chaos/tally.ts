/** Counts what happened in a trial, so that a reader sees what its verdict is worth, and says what must have happened at least. */
import type { Books, HoldRow } from "./books.ts";
import type { Asked } from "./customers.ts";
import type { Evidence } from "./records.ts";
import { tokensHeld, WINDOW } from "./tariff.ts";
import type { Kill } from "./trial-plan.ts";

export interface Deaths {
  /** Of a relay, or of the database under it, while requests ran. */
  underLoad: number;
  /** Of them, those of all relays at once. */
  ofAll: number;
  /** Of the relay before it listened. */
  startingUp: number;
  /** Of the relay while its database was dead or slow. */
  inOutage: number;
  /** How often the database was slow. */
  slowed: number;
}

export type Tally = Readonly<Record<string, number>>;

export function tallyOf(evidence: Evidence, books: Books, deaths: Deaths): Tally {
  const { asked, calls, credits } = evidence;
  const whole = asked.filter(({ ending }) => ending === "whole");
  const holds = (state: string): readonly HoldRow[] => books.holds.filter((hold) => hold.state === state);
  const broken = (code: string): number => asked.filter((one) => one.ending === "broken" && one.code === code).length;
  const refused = (code: string): number => asked.filter((one) => one.ending === "refused" && one.code === code).length;
  return {
    "kills under load": deaths.underLoad,
    "kills of all relays at once": deaths.ofAll,
    "kills while starting": deaths.startingUp,
    "kills of the relay in an outage": deaths.inOutage,
    "times the database was slow": deaths.slowed,
    "requests sent": asked.length,
    "streams whole": whole.filter(({ isStream }) => isStream).length,
    "plain answers whole": whole.filter(({ isStream }) => !isStream).length,
    "whole and not metered": whole.filter(({ isMetered }) => !isMetered).length,
    "cut in the middle by a death": asked.filter((one) => one.ending === "cut" && !one.hasLeft && one.status !== null).length,
    "cut before the answer began": asked.filter((one) => one.ending === "cut" && !one.hasLeft && one.status === null).length,
    "clients that left": asked.filter(({ hasLeft }) => hasLeft).length,
    "streams ended by an error": asked.filter(({ ending }) => ending === "broken").length,
    "streams ended by store_unavailable": broken("store_unavailable"),
    "streams ended by insufficient_credits": broken("insufficient_credits"),
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
    "holds recovered at a checkpoint": holds("recovered").filter(isCharged).length,
    "sliding holds that grew": books.holds.filter(hasGrown).length,
    "sliding holds that grew and were recovered at a checkpoint": holds("recovered").filter((hold) => isCharged(hold) && hasGrown(hold))
      .length,
    ...lateOf(evidence, books),
    ...keysOf(asked, books),
    "credits confirmed": credits.filter(({ isConfirmed }) => isConfirmed).length,
    "credits asked for again": credits.filter(({ tries }) => tries > 1).length,
  };
}

/** What ended after its client had been told so, or by another hand. */
function lateOf({ asked, calls, deaths }: Evidence, books: Books): Tally {
  const called = new Set(calls.map(({ number }) => number));
  const late = new Set(books.requests.filter(({ endReason }) => endReason === "store_unavailable").map(({ id }) => id));
  const settledLate = books.holds.filter((hold) => late.has(hold.id) && hold.state === "settled");
  const gone = deaths.filter(({ isForGood }) => isForGood);
  const isGone = (hold: HoldRow): boolean => gone.some(({ node }) => hold.node.endsWith(node));
  const isUnsent = (one: Asked): boolean =>
    one.ending === "refused" &&
    one.code === "store_unavailable" &&
    !one.isStream &&
    called.has(one.number) &&
    late.has(one.requestId ?? "");
  return {
    "streams settled after they had ended": settledLate.filter(isCharged).length,
    "plain answers not sent, because they could not be settled": asked.filter(isUnsent).length,
    "settlements taken back": books.corrections.filter(({ cost, delta }) => cost === 0n && delta < 0n).length,
    "holds ended by another relay": books.holds.filter((hold) => hold.state === "recovered" && isGone(hold)).length,
  };
}

/** The results of Idempotency-Keys. */
function keysOf(asked: Evidence["asked"], books: Books): Tally {
  const keyed = asked.filter(({ key }) => key !== null);
  const refused = (code: string): readonly Asked[] => keyed.filter((one) => one.ending === "refused" && one.code === code);
  const holds = Map.groupBy(
    books.holds.filter(({ idempotencyKey }) => idempotencyKey !== null),
    (hold) => `${hold.accountId} ${hold.idempotencyKey}`,
  );
  const holdsOf = ({ accountId, key }: Asked): readonly HoldRow[] => holds.get(`${accountId} ${key}`) ?? [];
  const isFreed = (hold: HoldRow): boolean => hold.state === "recovered" && !isCharged(hold);
  return {
    "sent again under an Idempotency-Key": keyed.length - new Set(keyed.map(({ number }) => number)).size,
    "refused: idempotency_in_progress": refused("idempotency_in_progress").length,
    "refused: idempotency_mismatch": refused("idempotency_mismatch").length,
    "refused: stream_lost": refused("stream_lost").length,
    "refused: stream_lost, of what a death had cut": refused("stream_lost").filter((one) =>
      holdsOf(one).some((hold) => hold.state === "recovered" && isCharged(hold)),
    ).length,
    "run again under a key that a death had freed": [...holds.values()].filter((of) => of.length > 1 && of.some(isFreed)).length,
  };
}

function isCharged({ charged }: HoldRow): boolean {
  return (charged ?? 0n) > 0n;
}

function hasGrown({ mode, model, amount }: HoldRow): boolean {
  return mode === "sliding" && tokensHeld(model, amount).output > WINDOW;
}

/** If fewer were seen than this, the trial has proved nothing. */
export function missing(tally: Tally, kill: Kill, cycles: number): string[] {
  return Object.entries({ ...leastOf(cycles), ...leastWhen(kill, cycles) })
    .filter(([name, least]) => (tally[name] ?? 0) < least)
    .map(([name, least]) => `${name}: ${tally[name] ?? 0}, which is less than ${least}`);
}

/** Of every trial. */
function leastOf(cycles: number): Tally {
  return {
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
    "sliding holds that grew": cycles,
    "sent again under an Idempotency-Key": cycles,
    "refused: stream_lost": cycles,
    "refused: idempotency_in_progress": Math.floor(cycles / 6),
    "refused: idempotency_mismatch": Math.floor(cycles / 6),
  };
}

function leastWhen(kill: Kill, cycles: number): Tally {
  const cut = {
    "kills under load": cycles,
    "cut in the middle by a death": cycles,
    "cut before the answer began": Math.ceil(cycles / 2),
    "holds recovered": cycles,
    "holds recovered at a checkpoint": 1,
    "run again under a key that a death had freed": 1,
  };
  switch (kill) {
    case "relay":
      return {
        ...cut,
        "kills while starting": Math.floor(cycles / 6),
        "refused: stream_lost, of what a death had cut": 1,
        "refused: insufficient_credits": 1,
        "streams ended by insufficient_credits": Math.floor(cycles / 12),
        "sliding holds that grew and were recovered at a checkpoint": 1,
      };
    case "database":
      return {
        "kills under load": cycles,
        "kills of the relay in an outage": Math.floor(cycles / 3),
        "streams ended by store_unavailable": 1,
        "refused: store_unavailable": 1,
      };
    case "peer":
      return { ...cut, "kills of all relays at once": 1, "holds ended by another relay": 1 };
    case "none":
      return {
        "times the database was slow": cycles,
        "kills of the relay in an outage": Math.floor(cycles / 3),
        "streams ended by store_unavailable": 1,
        "streams settled after they had ended": 1,
        "plain answers not sent, because they could not be settled": 1,
      };
  }
}
