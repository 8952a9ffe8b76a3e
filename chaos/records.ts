/** The three records of a trial, and what belongs together in them: requests, their tries, upstream calls, holds and rows. */
import type { Books, HoldRow, RequestRow } from "./books.ts";
import type { Asked } from "./customers.ts";
import { numberOfKey } from "./orders.ts";
import type { Credit } from "./owner.ts";
import { MODELS, promptBound, SLIDING, tokensHeld } from "./tariff.ts";
import type { Call } from "./upstream.ts";

export interface Evidence {
  readonly asked: readonly Asked[];
  readonly calls: readonly Call[];
  readonly credits: readonly Credit[];
  readonly deaths: readonly Death[];
}

/** Of a relay. */
export interface Death {
  /** What its name on the database ends with. */
  readonly node: string;
  /** Wall clock, milliseconds. */
  readonly at: number;
  /** It was not started again, so that only another relay could end its holds. */
  readonly isForGood: boolean;
}

/** The clocks of relay, database and upstream are one, read at different times. */
export const CLOCK_SLACK_MS = 2;

/** Its hold is to grow with its answer. */
export function isSliding({ model, isStream }: Pick<Asked, "model" | "isStream">): boolean {
  return model === SLIDING && isStream;
}

export class Records {
  readonly evidence: Evidence;
  readonly books: Books;
  /** The tries of each request, by its number. All of one number sent the same. */
  readonly tries: ReadonlyMap<number, Asked[]>;
  readonly calls: ReadonlyMap<number, Call[]>;
  /** By the request's number; 0 for those of no request. */
  readonly holds: ReadonlyMap<number, HoldRow[]>;
  readonly rows: ReadonlyMap<string, RequestRow>;
  readonly corrections: ReadonlyMap<string, Books["corrections"][number]>;
  readonly #bySize: ReadonlyMap<number, number>;

  constructor(evidence: Evidence, books: Books) {
    this.evidence = evidence;
    this.books = books;
    this.tries = Map.groupBy(evidence.asked, (asked) => asked.number);
    this.calls = Map.groupBy(evidence.calls, (call) => call.number);
    this.#bySize = new Map(evidence.asked.filter(isSliding).map((asked) => [promptBound(asked.bodyBytes), asked.number]));
    this.holds = Map.groupBy(books.holds, (hold) => this.numberOf(hold));
    this.rows = new Map(books.requests.map((row) => [row.id, row]));
    this.corrections = new Map(books.corrections.map((correction) => [correction.holdId, correction]));
  }

  /**
   * Which request a hold was made for: all asked for a number of tokens of their own, all that slide have a prompt of a size of
   * its own, and those that cost nothing a key.
   */
  numberOf(hold: HoldRow): number {
    if (!MODELS.includes(hold.model)) return 0;
    if (hold.walletId === null) return hold.idempotencyKey === null ? 0 : numberOfKey(hold.idempotencyKey);
    const { prompt, output } = tokensHeld(hold.model, hold.amount);
    return hold.mode === "sliding" ? (this.#bySize.get(prompt) ?? 0) : output;
  }

  /** The final charge of a hold. */
  costOf(hold: HoldRow): bigint {
    return (hold.charged ?? 0n) + (this.corrections.get(hold.id)?.delta ?? 0n);
  }

  /** The holds that a try can have made: where its request was sent once, all; otherwise its own. */
  holdsOf({ number, key, requestId }: Asked): readonly HoldRow[] {
    const holds = this.holds.get(number) ?? [];
    return key === null ? holds : holds.filter(({ id }) => id === requestId);
  }

  /** The call that a hold paid for: the last one before its end. */
  callOf(hold: HoldRow): Call | undefined {
    const until = (hold.closedAt ?? Number.POSITIVE_INFINITY) + CLOCK_SLACK_MS;
    return this.calls.get(this.numberOf(hold))?.findLast((call) => call.arrivedAt <= until);
  }

  /** The call that a whole answer came from. */
  callFor({ number, endedAt }: Asked): Call | undefined {
    return this.calls.get(number)?.findLast((call) => call.arrivedAt <= endedAt);
  }

  /** Characters that the upstream meant to say to a request, at most. */
  charactersSaid(number: number): number {
    return Math.max(0, ...(this.calls.get(number) ?? []).map((call) => call.text.length));
  }

  /** Characters that the client of a hold got. */
  charactersHeard(hold: HoldRow): number {
    return this.tries.get(this.numberOf(hold))?.find(({ requestId }) => requestId === hold.id)?.text.length ?? 0;
  }
}
