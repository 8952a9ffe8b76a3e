/** Counts one attempt's answer: tokens, events, times. Reads events beside their bytes and changes nothing. */
import { estimateTokens, estimateTokensOfSize } from "@millrace/policy/estimate";
import type { EventFacts, Usage } from "../provider/provider.ts";

/** What a meter has counted, at one moment. */
export interface MeterReading {
  /** Tokens by the upstream's own count, or null where it sent none. */
  readonly usage: Usage | null;
  readonly events: number;
  readonly contentEvents: number;
  /** The relay's own count of the output tokens that the client has got. */
  readonly output: number;
  readonly firstContentAt: number | null;
  readonly itlMeanMs: number | null;
  readonly gapMaxMs: number;
  /** Reason of the first choice that finished. */
  readonly finishReason: string | null;
}

export class Meter {
  usage: Usage | null = null;
  events = 0;
  contentEvents = 0;
  estimatedOutput = 0;
  /** The part of it that has left for the client; null where an answer leaves in one piece or not at all. */
  deliveredOutput: number | null;
  firstContentAt: number | null = null;
  lastContentAt = 0;
  gapMaxMs = 0;
  readonly finished = new Map<number, string>();
  readonly #choices = new Set<number>();

  /** @param deliveredOutput 0 for an answer that leaves bit by bit, null for one that leaves in one piece. */
  constructor(deliveredOutput: 0 | null) {
    this.deliveredOutput = deliveredOutput;
  }

  /** Takes one event. @returns the gap to the content event before it in ms, or null. */
  add(facts: EventFacts, now: number): number | null {
    this.events += 1;
    if (facts.usage !== null) this.usage = facts.usage;
    for (const index of facts.choices) this.#choices.add(index);
    for (const choice of facts.finished) this.finished.set(choice.index, choice.reason);
    if (!facts.hasContent) return null;
    this.estimatedOutput += estimateTokens(facts.text);
    return this.#content(now);
  }

  /** Takes one event that holds nothing but text, by the size of the text. @returns as `add`. */
  addText(bytes: number, units: number, now: number): number | null {
    this.events += 1;
    this.estimatedOutput += estimateTokensOfSize(bytes, units);
    return this.#content(now);
  }

  /** The relay's own count of the output tokens that the client has got. */
  get output(): number {
    return Math.ceil(this.deliveredOutput ?? this.estimatedOutput);
  }

  #content(now: number): number | null {
    this.contentEvents += 1;
    const gap = this.firstContentAt === null ? null : now - this.lastContentAt;
    this.firstContentAt ??= now;
    this.lastContentAt = now;
    if (gap !== null && gap > this.gapMaxMs) this.gapMaxMs = gap;
    return gap;
  }

  /** Every choice that was begun or asked for has its finish reason. */
  isFinished(choicesAsked: number): boolean {
    const expected = Math.max(choicesAsked, this.#choices.size, 1);
    return this.finished.size >= expected;
  }

  read(): MeterReading {
    const { usage, events, contentEvents, output, firstContentAt, itlMeanMs, gapMaxMs } = this;
    const finishReason = this.finished.values().next().value ?? null;
    return { usage, events, contentEvents, output, firstContentAt, itlMeanMs, gapMaxMs, finishReason };
  }

  get itlMeanMs(): number | null {
    if (this.firstContentAt === null || this.contentEvents < 2) return null;
    return (this.lastContentAt - this.firstContentAt) / (this.contentEvents - 1);
  }
}

/** Of an attempt that was not read at all. */
export const NOTHING_READ: MeterReading = new Meter(0).read();
