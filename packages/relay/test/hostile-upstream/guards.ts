/** Watches a test for what must never happen whatever an upstream does. */
import { expect } from "vitest";
import { Ticker } from "../../src/chat/ticker.ts";
import type { Ticking } from "../../src/chat/ticker.ts";
import { call } from "../support/call.ts";
import type { TestRelay } from "../support/start-relay.ts";

export interface Guard {
  /** Members of all tickers right now. */
  tickers(): number;
  /** Fails when something was thrown where nobody could catch it. */
  check(): void;
  stop(): void;
}

/** Starts to listen; to be called before the relay starts. */
export function guard(): Guard {
  const thrown: unknown[] = [];
  const onThrown = (reason: unknown): void => void thrown.push(reason);
  process.on("unhandledRejection", onThrown);
  process.on("uncaughtExceptionMonitor", onThrown);
  const members = new Set<Ticking>();
  const { add, remove } = Ticker.prototype;
  Ticker.prototype.add = function (member, onBug) {
    members.add(member);
    return add.call(this, member, onBug);
  };
  Ticker.prototype.remove = function (member) {
    members.delete(member);
    return remove.call(this, member);
  };
  return {
    tickers: () => members.size,
    check: () => expect(thrown).toEqual([]),
    stop: () => {
      process.off("unhandledRejection", onThrown);
      process.off("uncaughtExceptionMonitor", onThrown);
      Object.assign(Ticker.prototype, { add, remove });
    },
  };
}

/** Polls until `holds` does, or fails with the last difference. */
export async function eventually(holds: () => void | Promise<void>, withinMs = 15_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await holds();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Values of a gauge by its label text. */
export async function gauge(relay: TestRelay, name: string): Promise<Record<string, number>> {
  const { body } = await call(relay, { path: "/metrics", method: "GET", body: null });
  const found: Record<string, number> = {};
  for (const match of body.matchAll(new RegExp(`^${name}(\\{[^}]*\\})? (\\S+)$`, "gm"))) found[match[1] ?? ""] = Number(match[2]);
  return found;
}

/** No call in flight, no answer running, nothing left on a ticker. */
export async function expectAtRest(relay: TestRelay, watch: Guard): Promise<void> {
  await eventually(async () => {
    const inFlight = await gauge(relay, "millrace_upstream_in_flight");
    expect(Object.keys(inFlight)).not.toEqual([]);
    expect(Object.values(inFlight).filter((count) => count !== 0)).toEqual([]);
    expect(await gauge(relay, "millrace_streams_active")).toEqual({ "": 0 });
    expect(watch.tickers()).toBe(0);
  }, 15_000);
  watch.check();
}
