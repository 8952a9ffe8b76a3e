/**
 * What must be true, judged by what relays, clients and operators saw and by the rows alone. It knows nothing of how the ledger
 * reckons: all sums are taken anew.
 */
import type { Operation } from "../../../src/ledger/operation.ts";
import type { LedgerState } from "../../../src/ledger/state.ts";
import type { Commit } from "./books.ts";
import { Journal } from "./journal.ts";
import { costOf } from "./request.ts";
import type { Ending } from "./request.ts";

/** What is known of one request from outside of the books. */
interface Story {
  readonly amountNanos: bigint;
  /** Its relay was told that the money is set aside, and an upstream worked. */
  isHeld: boolean;
  /** What the books confirmed that it costs. */
  endedNanos: bigint | null;
  /** What they were asked to charge, and may have. */
  readonly askedNanos: Set<bigint>;
  /** Costs that were noted on the way, by number, and the last number that the books confirmed. */
  readonly notes: Map<number, bigint>;
  notedSeq: number;
}

type Operated = Extract<Operation, { kind: "credit" | "adjust" | "reserve_refund" }>;

export class Oracle {
  readonly breaches: string[] = [];
  readonly #stories = new Map<string, Story>();
  readonly #operated = new Map<string, Operated>();
  readonly #journal = new Journal((rule, id) => this.#breach(rule, id));

  #breach(rule: string, id: string): void {
    if (this.breaches.length < 20) this.breaches.push(`${rule}: ${id}`);
  }

  #story(id: string): Story {
    const story = this.#stories.get(id);
    if (story === undefined) throw new Error(`nobody asked for ${id}`);
    return story;
  }

  asked({ id, amountNanos }: Extract<Operation, { kind: "hold" }>): void {
    if (this.#stories.has(id)) return;
    const story = { amountNanos, isHeld: false, endedNanos: null, askedNanos: new Set<bigint>(), notes: new Map<number, bigint>() };
    this.#stories.set(id, { ...story, notedSeq: 0 });
  }

  held({ id }: { readonly id: string }): void {
    this.#story(id).isHeld = true;
    if (!this.#journal.knowsHold(id)) this.#breach("no upstream works without money set aside for it", id);
  }

  noting(id: string, seq: number, nanos: bigint): void {
    this.#story(id).notes.set(seq, nanos);
  }

  noted(id: string, seq: number): void {
    this.#story(id).notedSeq = Math.max(this.#story(id).notedSeq, seq);
  }

  ending(ending: Ending): void {
    this.#story(ending.id).askedNanos.add(costOf(ending));
  }

  /** The books confirmed it: from here on it stays. */
  ended(ending: Ending): void {
    const story = this.#story(ending.id);
    const nanos = costOf(ending);
    if (story.endedNanos !== null && story.endedNanos !== nanos) this.#breach("an end that was confirmed stays", ending.id);
    story.endedNanos = nanos;
  }

  lost(id: string): void {
    this.#breach("what a relay holds is ended by it, or by whoever took it for dead, and by nobody else", id);
  }

  /** An operator has heard that it is done. */
  operated(operation: Operated): void {
    this.#operated.set(
      operation.kind === "reserve_refund" ? `refund:${operation.id}` : `${operation.kind}:${operation.reference}`,
      operation,
    );
  }

  committed(commit: Commit): void {
    this.#journal.add(commit);
  }

  /** After everybody has come back and all that waited was asked. */
  judge(state: LedgerState): string[] {
    this.#journal.judge(state);
    for (const [id, story] of this.#stories) this.#judgeStory(id, story, state);
    for (const [id, operation] of this.#operated) this.#judgeOperated(id, operation, state);
    for (const { id } of state.holds.values()) if (!this.#stories.has(id)) this.#breach("every hold was asked for", id);
    return this.breaches;
  }

  #judgeStory(id: string, story: Story, state: LedgerState): void {
    const hold = state.holds.get(id);
    if (hold === undefined) {
      if (story.isHeld) this.#breach("a hold that was confirmed is there", id);
      return;
    }
    if (hold.state === "open") return this.#breach("no hold is open after everybody has come back", id);
    const correction = state.corrections.get(id);
    const costNanos = (hold.chargedNanos ?? 0n) + (correction?.deltaNanos ?? 0n) + (correction?.writtenOffNanos ?? hold.writtenOffNanos);
    if (!story.isHeld && costNanos !== 0n) this.#breach("a request that no upstream saw costs nothing", id);
    if (story.endedNanos !== null) {
      if (costNanos !== story.endedNanos) this.#breach("an end that was confirmed is in the books, exactly", id);
      return;
    }
    const isAsked = story.askedNanos.has(costNanos) && (hold.state !== "recovered" || correction !== undefined);
    const isRecovered = hold.state === "recovered" && correction === undefined && mayBeCheckpoint(story, costNanos, hold.amountNanos);
    if (story.isHeld && !isAsked && !isRecovered) this.#breach("what a crash leaves is charged at its last checkpoint", id);
  }

  #judgeOperated(id: string, operation: Operated, state: LedgerState): void {
    const nanos = operation.kind === "adjust" ? operation.deltaNanos : operation.amountNanos;
    const expected = nanos < 0n ? -nanos : nanos;
    if (state.transfers.get(id)?.amountNanos !== expected) this.#breach("what an operator was told is done is in the books once", id);
  }
}

/** The last that was confirmed, or a later one that was asked; never more than was set aside. */
function mayBeCheckpoint({ notes, notedSeq }: Story, costNanos: bigint, amountNanos: bigint): boolean {
  const capped = (nanos: bigint): bigint => (nanos < amountNanos ? nanos : amountNanos);
  if (notedSeq === 0 && costNanos === 0n) return true;
  for (const [seq, nanos] of notes) if (seq >= notedSeq && capped(nanos) === costNanos) return true;
  return false;
}
