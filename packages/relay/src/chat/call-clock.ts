/**
 * The deadlines of one upstream call, kept as numbers. All of them stand still while the relay has paused reading because its
 * client is slow: that silence is not the upstream's.
 */
import type { Timeouts } from "../config/config.ts";

export type Overdue = "connect" | "first_event" | "payload_idle" | "transport_idle" | "total";

export class CallClock {
  readonly #limits: Timeouts;
  readonly #isStream: boolean;
  #startedAt: number;
  #connectingSince: number;
  #sentAt: number | null = null;
  #lastByteAt: number | null = null;
  #lastEventAt: number | null = null;
  #pausedAt: number | null = null;

  constructor(limits: Timeouts, isStream: boolean, now: number) {
    this.#limits = limits;
    this.#isStream = isStream;
    this.#startedAt = now;
    this.#connectingSince = now;
  }

  /** The request is on the wire. */
  sent(now: number): void {
    this.#sentAt = now;
  }

  /** The connection was dead, and the dialer sets up a new one. */
  unsent(now: number): void {
    this.#sentAt = null;
    this.#connectingSince = now;
  }

  /** Any byte of the body, a comment's included. */
  byte(now: number): void {
    this.#lastByteAt = now;
  }

  /** A data event. */
  event(now: number): void {
    this.#lastEventAt = now;
  }

  pause(now: number): void {
    this.#pausedAt ??= now;
  }

  resume(now: number): void {
    if (this.#pausedAt === null) return;
    const away = now - this.#pausedAt;
    this.#pausedAt = null;
    this.#startedAt += away;
    if (this.#sentAt !== null) this.#sentAt += away;
    if (this.#lastByteAt !== null) this.#lastByteAt += away;
    if (this.#lastEventAt !== null) this.#lastEventAt += away;
  }

  /** The first limit that has passed, or null. */
  overdue(now: number): Overdue | null {
    if (this.#pausedAt !== null) return null;
    if (this.#sentAt === null) return now - this.#connectingSince >= this.#limits.connectMs ? "connect" : null;
    if (now - this.#startedAt >= this.#limits.totalMs) return "total";
    return this.#isStream ? this.#silent(now, this.#sentAt) : null;
  }

  #silent(now: number, sentAt: number): Overdue | null {
    if (this.#lastEventAt === null && now - sentAt >= this.#limits.firstEventMs) return "first_event";
    if (this.#lastEventAt !== null && now - this.#lastEventAt >= this.#limits.payloadIdleMs) return "payload_idle";
    if (this.#lastByteAt !== null && now - this.#lastByteAt >= this.#limits.transportIdleMs) return "transport_idle";
    return null;
  }
}

/** What an error message or a row says of a limit that has passed, as a clause: "sent no event within 120 s". */
export function describeOverdue(overdue: Overdue, limits: Timeouts): string {
  switch (overdue) {
    case "connect":
      return `did not accept a connection within ${seconds(limits.connectMs)}`;
    case "first_event":
      return `sent no event within ${seconds(limits.firstEventMs)}`;
    case "payload_idle":
      return `sent no data for ${seconds(limits.payloadIdleMs)}`;
    case "transport_idle":
      return `was silent for ${seconds(limits.transportIdleMs)}`;
    case "total":
      return `took longer than ${seconds(limits.totalMs)}`;
  }
}

function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(3))} s`;
}
