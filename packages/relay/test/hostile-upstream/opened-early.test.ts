import { expect, test } from "vitest";
import { call, errorOf, readStream } from "../support/call.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { RelaySetup, TestRelay } from "../support/start-relay.ts";

let relay: TestRelay;

/** The status leaves before any upstream has said something. */
async function start(upstreams: RelaySetup["upstreams"]): Promise<void> {
  relay = await relayForTest({ upstreams, streamTimes: { openAfterMs: 100, keepAliveMs: 100 } });
}

const SLOW_TO_FAIL = { timeouts: { firstEventMs: 500 }, simulator: { scenario: { fault: { kind: "hang" } } } } as const;

test("an upstream that says nothing is an error event once the status has left", async () => {
  await start({ a: SLOW_TO_FAIL });
  const answer = await call(relay);
  expect(answer).toMatchObject({ status: 200, isWhole: false });
  expect(answer.body.startsWith(": ka\n")).toBe(true);
  expect(errorOf(answer)).toMatchObject({ code: "upstream_timeout", type: "server_error" });
  expect(await relay.row()).toMatchObject({ status: 200, end_reason: "upstream_timeout", basis: "none" });
});

test("the next upstream still answers after the status has left, and nothing of the first is seen", async () => {
  const role = { timeouts: { payloadIdleMs: 500 }, simulator: { scenario: { fault: { kind: "stall", events: 1 } } } } as const;
  for (const a of [SLOW_TO_FAIL, role]) {
    await start({ a, b: { simulator: { scenario: { text: "from b" } } } });
    const answer = await call(relay);
    expect(readStream(answer)).toMatchObject({ outcome: "complete", choices: [{ text: "from b" }] });
    expect(answer.body.match(/"role"/g)?.length).toBe(1);
    await relay.row();
    expect(relay.rows("attempts")).toMatchObject([{ outcome: "timeout" }, { outcome: "ok" }]);
    if (a === SLOW_TO_FAIL) await relay.close();
  }
});

test("whatever the next upstream answers then is an event too: a refusal, a throttle, a redirect", async () => {
  const ends = [
    [{ kind: "status", status: 400 }, "invalid_request"],
    [{ kind: "status", status: 429, retryAfterMs: 1_000 }, "upstream_failed"],
    [{ kind: "redirect", status: 302, location: "http://127.0.0.1:1/" }, "upstream_redirect"],
  ] as const;
  for (const [fault, code] of ends) {
    await start({ a: SLOW_TO_FAIL, b: { simulator: { scenario: { fault } } } });
    const answer = await call(relay);
    expect([fault.kind, answer.status, answer.isWhole, errorOf(answer).code]).toEqual([fault.kind, 200, false, code]);
    expect(answer.body).not.toContain("[DONE]");
    if (fault.kind !== "redirect") await relay.close();
  }
});
