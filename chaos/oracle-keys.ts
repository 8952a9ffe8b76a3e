/** What an Idempotency-Key promises: one run, one charge, and no refusal but for a request that has the key. */
import type { HoldRow } from "./books.ts";
import type { Asked } from "./customers.ts";
import type { Finding } from "./claims.ts";
import { CLOCK_SLACK_MS } from "./records.ts";
import type { Records } from "./records.ts";

/** A hold under a key: while it is open the key is in use, and afterwards as long as it was charged for. */
interface Stand {
  readonly hold: HoldRow;
  readonly number: number;
  readonly from: number;
  readonly openUntil: number;
  readonly until: number;
}

/** With several relays a hold begins and ends for the others so much later than it says: its transaction waits for theirs. */
const AMONG_PEERS_MS = 1_500;

/** Judges the Idempotency-Keys of a trial. */
export function judgeKeys(records: Records): Finding[] {
  const keyed = records.books.holds.filter((hold) => hold.idempotencyKey !== null);
  const stands = Map.groupBy(
    keyed.map((hold) => standOf(records, hold)).toSorted((a, b) => a.from - b.from || a.until - b.until),
    ({ hold }) => nameOf(hold.accountId, hold.idempotencyKey),
  );
  const tries = Map.groupBy(
    records.evidence.asked.filter(({ key }) => key !== null),
    ({ accountId, key }) => nameOf(accountId, key),
  );
  const slackMs = new Set(keyed.map(({ node }) => node)).size > 1 ? AMONG_PEERS_MS : CLOCK_SLACK_MS;
  return [...new Set([...stands.keys(), ...tries.keys()])].flatMap((name) => {
    const [of, asked] = [stands.get(name) ?? [], tries.get(name) ?? []];
    return [...judgeStands(of, slackMs), ...judgeCalls(records, of, asked), ...asked.flatMap((one) => judgeTry(of, one, slackMs))];
  });
}

function nameOf(accountId: string, key: string | null): string {
  return `${accountId} ${key}`;
}

function standOf(records: Records, hold: HoldRow): Stand {
  const number = records.numberOf(hold);
  const openUntil = hold.closedAt ?? Number.POSITIVE_INFINITY;
  const isKept = hold.state === "settled" || (hold.state === "recovered" && (hold.charged ?? 0n) + hold.writtenOff > 0n);
  const correction = records.corrections.get(hold.id);
  // A plain answer that was not sent costs nothing in the end, so its key is free again.
  const isFreed = correction?.cost === 0n && records.tries.get(number)?.[0]?.isStream === false;
  const until = !isKept ? openUntil : isFreed ? correction.createdAt : Number.POSITIVE_INFINITY;
  return { hold, number, from: hold.createdAt, openUntil, until };
}

/** One after the other, and none after one that keeps the key. */
function judgeStands(stands: readonly Stand[], slackMs: number): Finding[] {
  return stands.flatMap((stand, at): Finding[] => {
    const earlier = stands.slice(0, at).find(({ until }) => until > stand.from + slackMs);
    if (earlier === undefined) return [];
    return [{ claim: "ran twice", says: `hold ${stand.hold.id} was made while ${earlier.hold.id} (${earlier.hold.state}) had its key` }];
  });
}

/** A call that came after a try was sent belongs to a hold that had not ended by then. */
function judgeCalls(records: Records, stands: readonly Stand[], asked: readonly Asked[]): Finding[] {
  return [...new Set(asked.map(({ number }) => number))].flatMap((number) => {
    const starts = asked.filter((one) => one.number === number).map(({ sentAt }) => sentAt);
    return (records.calls.get(number) ?? []).flatMap(({ arrivedAt }): Finding[] => {
      const last = stands.findLast((stand) => stand.number === number && stand.from <= arrivedAt + CLOCK_SLACK_MS);
      const isOfLater = starts.some((sentAt) => last !== undefined && sentAt > last.openUntil + CLOCK_SLACK_MS && sentAt <= arrivedAt);
      if (!isOfLater) return [];
      return [
        { claim: "ran twice", says: `the upstream was asked for request ${number} again, after its hold ${last?.hold.id} had ended` },
      ];
    });
  });
}

/** A refusal because of the key must name a request that has the key. */
function judgeTry(stands: readonly Stand[], { number, code, ending, sentAt, endedAt }: Asked, slackMs: number): Finding[] {
  if (ending !== "refused") return [];
  const isDuring = (from: number, until: number): boolean => from <= endedAt + CLOCK_SLACK_MS && until >= sentAt - slackMs;
  const reasons: Readonly<Record<string, (stand: Stand) => boolean>> = {
    idempotency_in_progress: (stand) => stand.number === number && isDuring(stand.from, stand.openUntil),
    stream_lost: (stand) => stand.number === number && stand.until > stand.openUntil && isDuring(stand.openUntil, stand.until),
    idempotency_mismatch: (stand) => stand.number !== number && isDuring(stand.from, stand.until),
  };
  const reason = reasons[code ?? ""];
  if (reason === undefined || stands.some(reason)) return [];
  return [{ claim: "wrong refusal", says: `request ${number} was refused with ${code}, and nothing had its key` }];
}
