import { afterAll, beforeAll, expect, test } from "vitest";
import { startRelay } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";
import { HANDLED_CASES } from "./handled-cases.ts";
import { PARSER_CASES } from "./parser-cases.ts";
import { KEY } from "./raw-case.ts";
import type { RawCase } from "./raw-case.ts";
import { exchange } from "./raw.ts";

const PROBE = "GET /healthz HTTP/1.1\r\nHost: relay.test\r\n\r\n";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ upstreams: { a: {} } });
});
afterAll(() => relay.close());

test.each(PARSER_CASES)("no HTTP: $name", (raw) => check(raw));

test.concurrent.each(HANDLED_CASES)("HTTP all the same: $name", (raw) => check(raw));

async function check(raw: RawCase): Promise<void> {
  const isClosing = raw.ending === "closed";
  const settings = { answers: raw.statuses.length, isClosing, isHead: raw.isHead ?? false };
  const sight = await exchange(
    relay.port,
    raw.bytes.replaceAll(KEY, relay.key),
    settings,
    raw.ending === "open" && raw.isHead !== true ? PROBE : "",
  );
  const statuses = sight.answers.map((answer) => answer.status);
  expect(statuses).toEqual(raw.ending === "open" && raw.isHead !== true ? [...raw.statuses, 200] : raw.statuses);
  expect(sight.rest).toBe("");
  expect(sight.isClosed).toBe(isClosing);
  expect(sight.ms).toBeLessThan(15_000);
  if (raw.ending === "open" && raw.isHead !== true) expect(sight.answers.at(-1)?.body).toBe('{"status":"ok"}\n');
  const last = sight.answers[raw.statuses.length - 1];
  if (raw.code !== undefined) expect((JSON.parse(last?.body ?? "{}") as { error: unknown }).error).toMatchObject({ code: raw.code });
  if ((last?.status ?? 0) >= 400 && raw.isHead !== true) {
    const { error } = JSON.parse(last?.body ?? "{}") as { error: { request_id: string } };
    expect(error).toMatchObject({ message: expect.any(String) as string, type: expect.stringMatching(/_error$/) as string });
    expect(error.request_id).toBe(last?.headers["x-request-id"]);
    expect(last?.headers["cache-control"]).toContain("no-store");
  }
  for (const answer of sight.answers) expect(Object.keys(answer.headers)).not.toContain("access-control-allow-origin");
}
